"""What an operator's own machine must have for a target, for `seter doctor`: programs, packages, keys, space."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib import metadata
from pathlib import Path

from common.errors import Error
from common.run import INSTALL, environment, run
from common.system import Target
from seter.blueprint import Blueprint
from seter.finding import Finding, Question, fail, failed, good, space, warn
from seter.given import read_cephx, read_pair, read_word
from seter.keep import Keep

HERE = "here"
ASKING = timedelta(seconds=20)
DISTRIBUTION = "seter"  # whose requirements are all that we import
TERRAFORM_SETTINGS = "TF_CLI_CONFIG_FILE"
AGENT = "SSH_AUTH_SOCK"
SSH_KEYS = ("id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk")  # ssh(1), -i
READERS = {"password": read_word, "cephx": read_cephx}


@dataclass(frozen=True, slots=True)
class Program:
    """A program that we wrap; one of `names` is enough. `asked` makes it say its version, which is at least `oldest`:
    the oldest that has all that we use, or that we have tried."""

    names: tuple[str, ...]
    asked: tuple[str, ...]
    oldest: tuple[int, ...]


SSH = Program(("ssh",), ("-V",), (8, 4))  # OpenSSH 8.4: environment in ControlPath, Include as we write it
ANSIBLE = Program(("ansible-playbook",), ("--version",), (2, 19))
SMIE = Program(("smie",), ("--version",), (0, 1))
TERRAFORM = Program(("terraform", "tofu"), ("version",), (1, 6))  # tofu begins there
# QEMU 5.1 reads SMBIOS strings from files; iproute2 5.0 has JSON for all that we ask.
QEMU = (
    Program(("qemu-system-x86_64",), ("--version",), (5, 1)),
    Program(("qemu-img",), ("--version",), (5, 1)),
    Program(("ip",), ("-V",), (5, 0)),
)
# Kind of target → what its nodes need beside Ansible, which every target needs.
NEEDED = {"baremetal": (SSH, SMIE), "virtual": (SSH, TERRAFORM)}


def questions(blueprint: Blueprint, keep: Keep) -> Mapping[str, Question]:
    """About this machine."""
    target = blueprint.target
    asked: dict[str, Question] = {
        f"program {' or '.join(each.names)}": partial(_programs, each) for each in programs_for(target)
    }
    return {
        **asked,
        "packages": lambda: (packages(metadata.requires(DISTRIBUTION) or ()),),
        "keys": lambda: (*_login(target), *_given(blueprint)),
        "space": lambda: tuple(spaces((keep.folder, Path(tempfile.gettempdir())))),
        TERRAFORM_SETTINGS: lambda: tuple(_terraform_settings(target)),
    }


def _programs(wanted: Program) -> tuple[Finding, ...]:
    return (program(wanted),)


def programs_for(target: Target) -> tuple[Program, ...]:
    """The programs that a target's nodes need."""
    over_ssh = any(engine.url.startswith("ssh:") for engine in target.engines)
    needed = (program for kind in target.kinds for program in NEEDED.get(kind, ()))
    emulated = QEMU if target.machine is not None and target.machine.module == "qemu" else ()
    return tuple(dict.fromkeys((ANSIBLE, *needed, *emulated, *((SSH,) if over_ssh else ()))))


def program(wanted: Program) -> Finding:
    """It is there, and not too old. What says no version is taken as it is."""
    what, path = f"program {' or '.join(wanted.names)}", environment().get("PATH")
    name = next((name for name in wanted.names if shutil.which(name, path=path)), "")
    if not name:
        known = INSTALL.get(wanted.names[0], f"see that {wanted.names[0]} is in PATH")
        return fail(HERE, what, "is not installed", f"Install it: {known}.")
    try:
        said = run([name, *wanted.asked], timeout=ASKING, check=False)
    except Error as error:
        return failed(HERE, what, error)
    version = version_in(said.stdout + said.stderr)
    shown = ".".join(str(part) for part in version) or "of an unknown version"
    if version and version < wanted.oldest:
        oldest = ".".join(str(part) for part in wanted.oldest)
        return fail(HERE, what, f"{name} is {shown}", f"Install {oldest} or newer.")
    return good(HERE, what, f"{name} {shown}")


def version_in(text: str) -> tuple[int, ...]:
    """The first version number in what a program prints; () if there is none. Pure."""
    found = re.search(r"(?<![\d.])(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", text)
    return tuple(int(part) for part in found.groups() if part is not None) if found else ()


def packages(wanted: Iterable[str]) -> Finding:
    """All Python packages that we require (PEP 508) are there, in versions that we know."""
    from packaging.requirements import Requirement

    wrong, count = [], 0
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} is {version}, not {requirement.specifier}")
    if wrong:
        return fail(HERE, "Python packages", "; ".join(wrong), "Install them anew: make setup.")
    return good(HERE, "Python packages", f"all {count} are as required")


def spaces(folders: Sequence[Path]) -> Iterator[Finding]:
    """Free space where these folders are or would be made, each file system once."""
    seen = set()
    for folder in folders:
        there = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
        mount = next(each for each in (there.resolve(), *there.resolve().parents) if each.is_mount())
        if mount not in seen:
            seen.add(mount)
            free = os.statvfs(mount)
            inodes = free.f_favail if free.f_files else -1
            yield space(HERE, str(mount), free.f_bavail * free.f_frsize, inodes)


def private(what: str, file: Path, subject: str = HERE) -> Finding | None:
    """What is wrong with a file that its owner alone may read and we must; None if nothing is."""
    try:
        with file.open("rb"):
            mode = file.stat().st_mode
    except FileNotFoundError:
        return fail(subject, what, f"{file} is not there", "Put it there, or name another.")
    except OSError as error:
        return fail(subject, what, f"{file} cannot be read: {error.strerror}", "Become its owner, or name another.")
    if mode & 0o077:
        return fail(subject, what, f"{file} can be read by others", f"chmod 600 {file}")
    return None


def _login(target: Target) -> Iterator[Finding]:
    """The keys that open hosts and engines."""
    for engine in target.engines:
        if engine.key:
            file = Path(engine.key).expanduser()
            yield private(f"key for {engine.name}", file) or good(HERE, f"key for {engine.name}", str(file))
    if SSH not in programs_for(target):
        return
    if target.identity_file:
        file = Path(target.identity_file).expanduser()
        yield private("identity_file", file) or good(HERE, "identity_file", str(file))
        return
    folder = Path("~/.ssh").expanduser()
    found = [file for name in SSH_KEYS if (file := folder / name).is_file()]
    for file in found:
        yield private("key for SSH", file) or good(HERE, "key for SSH", str(file))
    agent = os.environ.get(AGENT, "")
    if agent and not Path(agent).is_socket():
        yield fail(HERE, AGENT, f"{agent} is no socket", "Start ssh-agent anew, or unset the variable.")
    elif agent:
        yield good(HERE, AGENT, "an agent is there")
    elif not found:
        yield warn(HERE, "key for SSH", "there is neither key nor agent", "Name identity_file, or start ssh-agent.")


def _given(blueprint: Blueprint) -> Iterator[Finding]:
    """The secrets that are the operator's own, each file once."""
    wanted = {
        (need.make, path)
        for seat in blueprint.seats
        for need in seat.role.secrets
        if need.given and (path := str(seat.parameters.get(need.given, "")))
    }
    for make, path in sorted(wanted):
        what, file = f"{make} of your own", Path(path).expanduser()
        try:
            if make == "certificate":
                read_pair(path, ())
                file = file.with_suffix(".key")
            else:
                READERS[make](path)
        except Error as error:
            yield failed(HERE, what, error)
        else:
            yield private(what, file) or good(HERE, what, path)


def _terraform_settings(target: Target) -> Iterator[Finding]:
    """A settings file that is not there: Terraform then goes without, and says so on every call."""
    file = os.environ.get(TERRAFORM_SETTINGS, "")
    if file and not Path(file).is_file():
        judge = fail if TERRAFORM in programs_for(target) else warn
        yield judge(HERE, TERRAFORM_SETTINGS, f"{file} is no file", f"Unset the variable, or write {file}.")
