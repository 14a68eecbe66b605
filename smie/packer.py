"""Packer: its template, command and environment as values, its output as events, and its manifest.

The machine-readable output is `timestamp,target,type,data…`, with commas and newlines escaped; `ui` lines are for
people. What was built is read from the manifest post-processor alone.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event

from common.errors import Corrupt, Error
from common.mitogen import mitogen
from common.role import Role
from common.run import CommandFailed, TimedOut, environment, run
from smie.failed import BuildFailed, TookTooLong
from smie.isolation import guarded

MANIFEST = "manifest.json"
TEMPLATE = "build.pkr.json"
CHANGES = "changes.txt"  # `docker diff`
LAYER = "layer.raw.tar"
PLUGINS_SINCE = (1, 10)  # from here on every builder is a plugin, which the template must name
DOCKER_PLUGIN = {"source": "github.com/hashicorp/docker", "version": ">= 1.1.0"}
LIMIT = timedelta(minutes=30)  # for one build, where nobody says another
GRACE = timedelta(minutes=3)  # that Packer has to clean up when it is interrupted
TAIL = 30  # lines of the log that an error shows

_AGAIN = "Run the command again, and see the log of the build."

Template = dict[str, object]
Enclose = Callable[..., tuple[str, ...]]  # from a command to the same one, cut off from what it must not see


def version(text: str) -> tuple[int, int]:
    """Major and minor from what `packer --version` prints, which is `1.6.6` or `Packer v1.12.0`."""
    match = re.search(r"(\d+)\.(\d+)", text)
    if match is None:
        raise Error(f"packer does not tell its version: {text.strip()!r}", resolution="Install Packer 1.6 or newer.")
    return int(match[1]), int(match[2])


def installed_version() -> tuple[int, int]:
    """The version of the Packer in PATH. Raises Missing."""
    return version(run(("packer", "--version")).stdout)


def argv(template: Path, enclose: Enclose = guarded, *, keep_failed: bool = False) -> tuple[str, ...]:
    """The command that builds a template. With `keep_failed` what was begun is there when it fails."""
    on_error = "-on-error=abort" if keep_failed else "-on-error=cleanup"
    return enclose("packer", "build", "-machine-readable", on_error, str(template))


INSIDE = "docker exec --interactive --user 0:0 --env LC_ALL=C.UTF-8 $CID"
TAR = "tar --directory=/ --numeric-owner --xattrs '--xattrs-include=*'"


def taking(changes: str, files: str) -> tuple[str, str]:
    """Commands that write what the container has changed, as docker tells, and the changed files as its own tar reads
    them: the layer, without committing an image and reading all of it back. Deleted paths are put in as whiteouts later
    (`smie.normal`)."""
    return (
        f"docker diff $CID > {changes}",
        # What is mounted there has not been changed.
        f"sed -n -E '\\,^. /(smie|packer-files)(/|$),d; s,^[AC] /,,p' {changes} | LC_ALL=C sort | {INSIDE} {TAR}"
        f" --create --no-recursion --verbatim-files-from --files-from=- --format=posix > {files}",
    )


def docker_template(
    image: str,
    identity: str,
    mounts: Mapping[Path, str],
    packer: tuple[int, int],
    variables: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> Template:
    """Install with Ansible in a container of an image, without network, and take out what that changed.

    `identity` is put on the container, so that leftovers are known as ours. `mounts` are folders of this machine, by
    where they are seen in the container, read-only; `variables` are more of its environment; `before` are commands
    that run first.
    """
    source: Template = {
        "image": image,
        "pull": False,
        "discard": True,
        "run_command": [
            # Packer removes the container without the volumes that its image declares; the engine does both.
            "--detach", "--interactive", "--rm", "--network=none", f"--label=smie.build={identity}",
            "--env=APT_CONFIG=/smie/apt/apt.conf", "--env=PYTHONDONTWRITEBYTECODE=1", "--tmpfs=/smie/tmp:exec",
            *(f"--env={name}={value}" for name, value in (variables or {}).items()),
            *(f"--volume={here}:{there}:ro" for here, there in mounts.items()),
            # What the parent's configuration says about running it is not for the build.
            "--user=0:0", "--workdir=/", "--no-healthcheck", "--entrypoint=/bin/sh", "{{.Image}}",
        ],
    }  # fmt: skip
    # By this short name, which Mitogen takes over (`strategy`).
    ansible = "exec ansible-playbook --inventory $CID, --connection docker play.json"
    build: Template = {
        "sources": ["source.docker.image"],
        "provisioner": [
            *([_beside("set -e", *before)] if before else []),
            _beside(ansible),
            _beside("set -e", *taking(CHANGES, LAYER)),
        ],
        "post-processors": [manifested(LAYER, CHANGES)],
    }
    whole: Template = {"source": {"docker": {"image": source}}, "build": [build]}
    if packer >= PLUGINS_SINCE:
        return {"packer": {"required_plugins": {"docker": DOCKER_PLUGIN}}, **whole}
    return whole


def null_template(scripts: Sequence[Sequence[str]], files: Sequence[str]) -> Template:
    """Commands on this machine, one script after the other, that make these files. The null builder and shell-local are
    part of every Packer, so the template is the same for all."""
    provisioners = [local(*lines) for lines in scripts]
    build: Template = {
        "sources": ["source.null.tree"],
        "provisioner": provisioners,
        "post-processors": [manifested(*files)],
    }
    return {"source": {"null": {"tree": {"communicator": "none"}}}, "build": [build]}


def manifested(*files: str) -> Template:
    """The post-processors that say these files are what was built."""
    return {"post-processor": [{"artifice": {"files": list(files)}}, {"manifest": {"output": MANIFEST}}]}


def local(*lines: str) -> Template:
    """Commands that run on this machine."""
    return {"shell-local": {"inline": list(lines)}}


def _beside(*lines: str) -> Template:
    """The same with the container's id in `$CID`."""
    return {"shell-local": {"environment_vars": ["CID=${build.ID}"], "inline": list(lines)}}


def ansible_environment(work: Path, scratch: Path, roles: Path) -> dict[str, str]:
    """The same with the way to the Docker engine."""
    allowed = environment()
    home = Path(allowed.get("HOME", "/"))
    own = {name: value for name, value in allowed.items() if name.startswith("DOCKER_")}
    # The docker program finds the engine through its own configuration, which is in the home that we hide.
    if (home / ".docker").is_dir():
        own.setdefault("DOCKER_CONFIG", str(home / ".docker"))
    return own | plain_environment(work, scratch, roles)


def plain_environment(work: Path, scratch: Path, roles: Path) -> dict[str, str]:
    """What Packer and Ansible get: all that they write goes into `work` and `scratch`, nothing into the user's home.
    Nothing of the caller's is in it, proxies and their passwords least of all: builds have no network."""
    allowed = environment()
    home = Path(allowed.get("HOME", "/"))
    return {
        "PATH": f"{Path(sys.executable).parent}:{allowed.get('PATH', '/usr/bin:/bin')}",
        "HOME": str(work / "home"),
        "TMPDIR": str(scratch),
        "LC_ALL": "C.UTF-8",
        "CHECKPOINT_DISABLE": "1",
        "PACKER_CACHE_DIR": str(work / "home"),
        "PACKER_CONFIG_DIR": str(work / "home"),
        "PACKER_PLUGIN_PATH": str(home / ".config" / "packer" / "plugins"),
        "ANSIBLE_CONFIG": str(work / "ansible.cfg"),
        "ANSIBLE_HOME": str(work / "home" / ".ansible"),
        "ANSIBLE_LOCAL_TEMP": str(work / "tmp"),
        "ANSIBLE_REMOTE_TEMP": "/smie/tmp",
        "ANSIBLE_ROLES_PATH": str(roles),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
    }


def strategy() -> dict[str, str]:
    """Environment that lets Ansible talk to a container by Mitogen: one Python in it for the whole play, instead of two
    to six `docker exec` a task."""
    return {"ANSIBLE_STRATEGY": "mitogen_linear", **mitogen("smie")}


def play(role: str, variables: Mapping[str, object]) -> list[dict[str, object]]:
    """The play that installs one role."""
    install = {"name": f"Install {role}", "ansible.builtin.include_role": {"name": role, "tasks_from": "install"}}
    return [{"name": role, "hosts": "all", "gather_facts": False, "vars": dict(variables), "tasks": [install]}]


def variables(role: Role, software: str) -> dict[str, object]:
    """What a role's `install.yml` is told. `software`: the folder of its programs, as the tasks see it."""
    return {
        "packages": list(role.packages),
        "software": software,
        "process_user": role.process.user if role.process else "",
        "process_uid": role.process.uid if role.process else 0,
        "ansible_python_interpreter": "/usr/bin/python3",
    }


@dataclass(slots=True)
class Log:
    """What a build says, as people read it: kept in a file, with the end and the task at hand remembered."""

    path: Path
    on_task: Callable[[str], None]
    task: str = ""
    begun: float = 0.0  # when the task began, on the clock of time.monotonic
    end: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))

    def __post_init__(self) -> None:
        """Start the file anew."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("")

    def write(self, text: str) -> None:
        """One line."""
        if text.strip():
            self.end.append(text)
        # On a full disk its end is remembered, and whoever writes what is to be kept fails.
        with suppress(OSError), self.path.open("a") as file:
            file.write(text + "\n")

    def take(self, stream: str, line: str) -> None:
        """One line of Packer's machine-readable output."""
        for text in said(line):
            self.write(text)
            if match := re.match(r"TASK \[(.*)]", text):
                self.task, self.begun = match[1], time.monotonic()
                self.on_task(self.task)

    def take_plain(self, stream: str, line: str) -> None:
        """One line of another program's output."""
        self.write(line)


def said(line: str) -> Sequence[str]:
    """What a line of machine-readable output says to people."""
    parts = line.split(",", 4)
    if len(parts) < 5 or parts[2] != "ui":
        return () if len(parts) > 2 and parts[0].isdigit() else (line,)
    text = parts[4].replace("%!(PACKER_COMMA)", ",").replace("\\r", "")
    return [
        re.sub(r"^(==>|-->)? *(?:docker\.image|null\.tree|qemu\.machine): ?", "", part) for part in text.split("\\n")
    ]


def build(
    title: str, work: Path, env: Mapping[str, str], log: Log, halt: Event, limit: timedelta = LIMIT,
    enclose: Enclose = guarded, *, keep_failed: bool = False,
) -> None:  # fmt: skip
    """Run Packer on the template in `work`. Raises BuildFailed, TookTooLong, Missing."""
    command = argv(Path(TEMPLATE), enclose, keep_failed=keep_failed)
    try:
        run(command, cwd=work, env=env, on_line=log.take, timeout=limit, grace=GRACE, halt=halt)
    except TimedOut as error:
        raise TookTooLong(title, log, limit) from error
    except CommandFailed as error:
        raise BuildFailed(title, log, error) from error


def built(work: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The files of these names that Packer's manifest lists, which are there and not empty. Raises Corrupt."""
    try:
        builds = json.loads((work / MANIFEST).read_text())["builds"]
        sizes = {entry["name"]: entry["size"] for entry in builds[-1]["files"]}
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise Corrupt("Packer reported success, but not what it made", resolution=_AGAIN) from error
    paths = tuple(work / name for name in names)
    for path in paths:
        if not path.is_file() or not 0 < path.stat().st_size == sizes.get(path.name):
            raise Corrupt(f"Packer says that it made {path.name}, which is not so", resolution=_AGAIN)
    return paths
