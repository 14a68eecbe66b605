"""What is done on a host of ours: sent over SSH with each call and run there by its own Python, as root.

    look                      JSON: what the host is and what lies and runs there
    unpack FOLDER             a tar from the input
    ensure                    JSON from the input: sets the host's kernel and marks it as ours
    switch ARGUMENTS          a script from the input: files that were laid become those in use
    execute ROLE USER ARGV    a command where the role's process runs
    try USER ARGV             a command without network and rights
    stop ROLE                 the role's process, and its unit
    restart ROLE
    before                    remember what starts with the host, before something is installed
    installed                 JSON from the input: remember what was installed for roles
    loaded ROLE TEXT          remember what a running process has read
    read PATH                 a file, in base64
    remove                    everything of ours
    keep                      what lies and runs now can be gone back to; JSON: role → which of its starts it is
    back ROLES                files and units as they were kept; JSON: who read other files since, what is not back
    forget [MARKS]            what was kept goes, with MARKS after it is in use again; says `yes` if there was anything
    packages                  lines: all that are installed, with their sources, tabs between
    sync                      what was written is on disk
    reboot                    the host starts anew
    logs ROLE SECONDS FOLLOW  what the role's process has printed, of the last SECONDS ('' all of it)

Verbs that begin with `slot-` are in `onslots`. Nothing of seter is there but these two files and `onnode`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import select
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from seter.provisioner import onslots
from seter.provisioner.onnode import ROOT, STATE, UNITS, act, said_by, text_of, write

READ = Path("/run/seter/process")
MARK, INSTALLED = ROOT / "host.json", ROOT / "installed"
BEFORE = ROOT / "enabled-before"
KEPT = ROOT / "before"
RAN = KEPT / "containers"  # as `seter.tree.KEPT_LIST` has it: what is kept is there when this file is
SETTINGS = Path("/etc/sysctl.d/90-seter.conf")
NOT_RUNNING, NO_FILE = 69, 66  # sysexits.h: EX_UNAVAILABLE, EX_NOINPUT
NEEDED = ("systemctl", "tar", "setpriv", "nsenter", "dpkg-query", "sysctl")
# What a process of a role may do, but for its capabilities: nothing is written but what is given to it.
SANDBOX = ("ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "NoNewPrivileges=yes")
PIECE = 57 << 10  # bytes


def identity() -> str:
    """This one life of the host: its id, its boot, and when its process 1 began (proc_pid_stat(5), field 22)."""
    started = text_of(Path("/proc/1/stat")).rpartition(")")[2].split()[19]
    boot = text_of(Path("/proc/sys/kernel/random/boot_id"))
    return f"{text_of(Path('/etc/machine-id'))}@{boot}.{started}"


def release() -> dict[str, str]:
    """Lines of os-release(5)."""
    lines = (line.partition("=") for line in text_of(Path("/etc/os-release")).splitlines())
    return {name: value.strip('"') for name, _, value in lines}


def roles() -> list[str]:
    """Roles that have a unit."""
    return sorted(path.stem.removeprefix("seter-") for path in UNITS.glob("seter-*.service"))


def units(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """How each role's unit is, and what its process has read last."""
    if not names:
        return {}
    wanted = "--property=ActiveState,Type,Result,MainPID,User,CapabilityBoundingSet,InvocationID"
    blocks = said_by("systemctl", "show", wanted, *(f"seter-{name}.service" for name in names)).strip().split("\n\n")
    found = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
    return {name: unit | {"read": text_of(READ / name)} for name, unit in zip(names, found, strict=True)}


def packages(names: Iterable[str]) -> dict[str, str]:
    """Versions of these packages, with their state if it is not as it should be."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    lines = said_by("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${db:Status-Abbrev}\n", *wanted).splitlines()
    rows = (line.split("\t") for line in lines)
    return {name: version if state.strip() == "ii" else f"{version} {state}" for name, version, state in rows}


def all_packages() -> None:
    """Name, version, source, its version (dpkg-query(1))."""
    fields = "${db:Status-Abbrev}\t${Package}\t${Version}\t${source:Package}\t${source:Version}\n"
    for line in said_by("dpkg-query", "-W", "-f", fields).splitlines():
        state, _, rest = line.partition("\t")
        if state.strip() == "ii":
            sys.stdout.write(f"{rest}\n")


def program(path: str) -> str:
    """Digest of a program, '' if there is none."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def installed(folder: Path = INSTALLED) -> dict[str, dict[str, Any]]:
    """For each role: from what it was installed, and what is not as it was left then."""
    marks = {path.name: json.loads(text_of(path)) for path in folder.glob("[!.]*")}
    there = packages(name for mark in marks.values() for name in mark["packages"])
    found = {}
    for role, mark in marks.items():
        differs = [name for name, version in mark["packages"].items() if there.get(name) != version]
        differs += [path for path, digest in mark["programs"].items() if program(path) != digest]
        found[role] = {"artifact": mark["artifact"], "differs": differs}
    return found


def lying() -> str:
    """A tar of what is in use below /etc/seter: the links, what they point to, and the marks of cluster steps."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for link in (ROOT / "now", ROOT / "secrets"):
            if link.is_symlink():
                to = link.readlink()
                tar.add(link, f"seter/{link.name}")
                if (ROOT / to).is_dir():
                    tar.add(ROOT / to, f"seter/{to}")
        if (ROOT / "cluster").is_dir():
            tar.add(ROOT / "cluster", "seter/cluster")
        if RAN.is_file():
            tar.add(RAN, "seter/before/containers")
    return base64.b64encode(buffer.getvalue()).decode()


def look() -> None:
    """One JSON document."""
    mark = text_of(MARK)
    about: dict[str, Any] = {
        "identity": identity(),
        "clock": time.time(),
        "release": release(),
        "lacks": [name for name in NEEDED if shutil.which(name) is None],
        "mark": json.loads(mark) if mark else {},
        "slots": onslots.slots(),
    }
    if mark:
        about |= {"units": units(roles()), "installed": installed(), "lying": lying()}
    sys.stdout.write(json.dumps(about))


def unpack(folder: str) -> None:
    """Into the folder, with owners and modes as the tar has them. Links come last in it."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    argv = ["tar", "-C", folder, "-xpf", "-", "--numeric-owner", "--no-overwrite-dir"]
    subprocess.run(argv, input=sys.stdin.buffer.read(), check=True)


def ensure() -> None:
    """The host is ours from here on, with these kernel settings."""
    wanted = json.loads(sys.stdin.buffer.read())
    mark = text_of(MARK)
    if mark and json.loads(mark)["deployment"] != wanted["mark"]["deployment"]:
        sys.exit(f"it belongs to the deployment {json.loads(mark)['deployment']}")
    write(SETTINGS, "".join(f"{name} = {value}\n" for name, value in wanted["sysctls"]))
    act("sysctl", "-q", "-p", str(SETTINGS))
    write(MARK, json.dumps(wanted["mark"]))


def execute(role: str, user: str, argv: Sequence[str]) -> None:
    """Becomes the command: in the file system that the process sees, as the user, with no more rights than it has."""
    unit = units([role])[role]
    pid = unit.get("MainPID", "0")
    if pid == "0":
        sys.stderr.write(f"{role} does not run\n")
        sys.exit(NOT_RUNNING)
    user = user or unit.get("User") or "root"
    allowed = unit.get("CapabilityBoundingSet", "").split() if user == "root" else []
    rights = ",".join(["-all", *(f"+{name.removeprefix('cap_')}" for name in allowed)])
    own = [] if user == "root" else [f"--reuid={user}", f"--regid={user}", "--init-groups"]
    become = ["setpriv", *own, "--inh-caps=-all", f"--bounding-set={rights}", "--no-new-privs", *argv]
    lines = text_of(Path("/proc", pid, "environ")).split("\0")
    environment = dict(line.split("=", 1) for line in lines if "=" in line)
    os.execvpe("nsenter", ["nsenter", "--mount", "--target", pid, *become], {**os.environ, **environment})


def trial(user: str, argv: Sequence[str]) -> None:
    """Becomes the command, in a unit of its own that goes with it."""
    rules = (*SANDBOX, "PrivateNetwork=yes", "CapabilityBoundingSet=", f"User={user or 'root'}")
    given = [word for rule in rules for word in ("-p", rule)]
    os.execvp("systemd-run", ["systemd-run", "--wait", "--pipe", "--quiet", "--collect", *given, "--", *argv])


def stop(role: str) -> None:
    """The unit's own time-out says when it is killed."""
    unit = f"seter-{role}.service"
    subprocess.run(["systemctl", "disable", "--now", "--quiet", unit], capture_output=True, check=False)
    for path in (UNITS / unit, READ / role):
        path.unlink(missing_ok=True)
    act("systemctl", "daemon-reload")
    subprocess.run(["systemctl", "reset-failed", "--quiet", unit], capture_output=True, check=False)


def restart(role: str) -> None:
    """NOT_RUNNING if there is none."""
    if role not in roles():
        sys.exit(NOT_RUNNING)
    act("systemctl", "restart", f"seter-{role}.service")


def enabled() -> list[str]:
    """Units that start with the host."""
    words = ("systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--plain", "--no-pager")
    return [line.split()[0] for line in said_by(*words).splitlines() if line.strip()]


def before() -> None:
    """Before something is installed: which units start with the host. One that was cut off has said it already."""
    if not BEFORE.exists():
        write(BEFORE, json.dumps(enabled()))


def remember() -> None:
    """Versions and digests are taken here: they are what installing left. Units that packages have enabled are disabled
    again: what runs are our own."""
    if BEFORE.exists():
        known = set(json.loads(text_of(BEFORE)))
        if new := [unit for unit in enabled() if unit not in known and not unit.startswith("seter-")]:
            act("systemctl", "disable", "--quiet", *new)
        BEFORE.unlink()
    for role, wish in json.loads(sys.stdin.buffer.read()).items():
        mark = {
            "artifact": wish["artifact"],
            "packages": packages(wish["packages"]),
            "programs": {path: program(path) for path in wish["programs"]},
        }
        write(INSTALLED / role, json.dumps(mark))


def loaded(role: str, text: str) -> None:
    """Until it starts again: then its unit says it."""
    write(READ / role, f"{text}\n")


def read(path: str) -> None:
    """In base64, a line for each piece."""
    if not Path(path).is_file():
        sys.exit(NO_FILE)
    with Path(path).open("rb") as file:
        while piece := file.read(PIECE):
            sys.stdout.write(base64.b64encode(piece).decode() + "\n")


def remove() -> None:
    """The processes, in no order: they are all to go. Then the files."""
    sockets: list[str] = []
    for role in roles():
        lines = text_of(UNITS / f"seter-{role}.service").splitlines()
        sockets += [name for line in lines if line.startswith("RuntimeDirectory=") for name in line[17:].split()]
        stop(role)
    for path in (ROOT, STATE, Path("/run/seter"), *(Path("/run", name) for name in sockets)):
        shutil.rmtree(path, ignore_errors=True)
    SETTINGS.unlink(missing_ok=True)
    onslots.remove()


def keep() -> None:
    """In a folder that comes by rename. What is kept already stays: it is what ran before a roll-out that was cut."""
    if not RAN.exists():
        new = ROOT / "before.next"
        for folder in (KEPT, new):
            shutil.rmtree(folder, ignore_errors=True)
        (new / "units").mkdir(parents=True)
        for name in ("now", "secrets"):
            (new / name).symlink_to((ROOT / name).readlink())
        for folder, name in ((READ, "read"), (INSTALLED, "installed")):
            if folder.is_dir():
                shutil.copytree(folder, new / name)
        there = units(roles())
        for role in there:
            shutil.copy2(UNITS / f"seter-{role}.service", new / "units")
        write(new / "containers", json.dumps({role: life(unit) for role, unit in there.items()}))
        new.rename(KEPT)
    sys.stdout.write(text_of(RAN))


def life(unit: dict[str, str]) -> str:
    """Which start of the unit it is (systemd.exec(5), INVOCATION_ID), '' if it does not run."""
    return unit["InvocationID"] if unit.get("ActiveState") in ("active", "reloading") else ""


def back(*order: str) -> None:
    """What started since is stopped; what has run all the time goes on. Software stays as it is: it is only told."""
    if not RAN.exists():
        return
    ran, there = dict(json.loads(text_of(RAN))), units(roles())
    place = {role: number for number, role in enumerate(order)}
    stays = {role for role, unit in there.items() if life(unit) and life(unit) == ran.get(role)}
    if not all((ROOT / (KEPT / name).readlink()).is_dir() for name in ("now", "secrets")):
        sys.exit("it cannot go back: what lay there before is gone")
    for role in sorted(set(there) - stays, key=lambda role: place.get(role, -1), reverse=True):
        stop(role)
    put_back(ran)
    failed: list[str] = []
    for role in sorted(set(ran) - stays, key=lambda role: place.get(role, -1)):
        done = subprocess.run(["systemctl", "enable", "--now", "--quiet", f"seter-{role}.service"], check=False)
        failed += [role] if done.returncode and ran[role] else []
    again = [role for role in stays if text_of(READ / role) != text_of(KEPT / "read" / role)]
    lost = {role: found["differs"] for role, found in installed(KEPT / "installed").items() if found["differs"]}
    sys.stdout.write(json.dumps({"again": sorted(again), "failed": failed, "lost": lost}))


def put_back(ran: Iterable[str]) -> None:
    """Links, unit files, and what says from what roles are installed as far as that is so again."""
    for name in ("now", "secrets"):
        new = ROOT / f"{name}.next"
        new.unlink(missing_ok=True)
        new.symlink_to((KEPT / name).readlink())
        new.replace(ROOT / name)
    for role in ran:
        shutil.copy2(KEPT / "units" / f"seter-{role}.service", UNITS)
    act("systemctl", "daemon-reload")
    for role, found in installed(KEPT / "installed").items():
        if not found["differs"]:
            shutil.copy2(KEPT / "installed" / role, INSTALLED)


def forget(marks: str = "") -> None:
    """Older secrets go with it."""
    if not RAN.exists():
        return
    if marks and (KEPT / "read").is_dir():
        shutil.copytree(KEPT / "read", READ, dirs_exist_ok=True)
    RAN.unlink()
    shutil.rmtree(KEPT)
    in_use = (ROOT / "secrets").readlink().name
    for old in (ROOT / "vault").iterdir():
        if old.name != in_use:
            shutil.rmtree(old)
    sys.stdout.write("yes")


def logs(role: str, seconds: str, follow: str) -> None:
    """Of the process alone, not of systemd about it. Following ends with the process, and with who reads."""
    unit = f"seter-{role}.service"
    if role not in roles():
        sys.exit(NOT_RUNNING)
    since = [f"--since=-{seconds}s"] if seconds else []
    argv = ["journalctl", f"_SYSTEMD_UNIT={unit}", "--output=cat", "--no-pager", "--quiet", *since]
    reading = subprocess.Popen([*argv, *(["--follow", "--lines=all"] if follow else [])], stdin=subprocess.DEVNULL)
    while follow and not select.select([sys.stdin], [], [], 1)[0]:
        if not life(units([role])[role]):
            break
    if follow:
        reading.terminate()
    reading.wait()


def main(argv: Sequence[str]) -> None:
    """See the beginning."""
    verb, *words = argv
    if verb == "execute":
        execute(words[0], words[1], words[2:])
    elif verb == "try":
        trial(words[0], words[1:])
    else:
        plain: dict[str, Callable[..., None]] = {
            "look": look, "unpack": unpack, "ensure": ensure, "stop": stop, "restart": restart, "remove": remove,
            "before": before, "installed": remember, "loaded": loaded, "read": read, "keep": keep, "back": back,
            "forget": forget, "logs": logs, "packages": all_packages, "sync": os.sync,
            "reboot": lambda: act("systemctl", "reboot", "--no-block"),
            "switch": lambda *more: act("sh", "-c", sys.stdin.read(), "switch", *more), **onslots.VERBS,
        }  # fmt: skip
        plain[verb](*words)


if __name__ == "__main__":
    main(sys.argv[1:])
