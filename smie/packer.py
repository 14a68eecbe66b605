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
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event

from common.errors import Corrupt, Error
from common.model import Kind
from common.role import Role
from common.run import CommandFailed, TimedOut, environment, run
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
            "--detach", "--interactive", "--network=none", f"--label=smie.build={identity}",
            "--env=APT_CONFIG=/smie/apt/apt.conf", "--env=PYTHONDONTWRITEBYTECODE=1", "--tmpfs=/smie/tmp:exec",
            *(f"--env={name}={value}" for name, value in (variables or {}).items()),
            *(f"--volume={here}:{there}:ro" for here, there in mounts.items()),
            # What the parent's configuration says about running it is not for the build.
            "--user=0:0", "--workdir=/", "--no-healthcheck", "--entrypoint=/bin/sh", "{{.Image}}",
        ],
    }  # fmt: skip
    ansible = "exec ansible-playbook --inventory $CID, --connection community.docker.docker play.json"
    chain = [{"artifice": {"files": [LAYER, CHANGES]}}, {"manifest": {"output": MANIFEST}}]
    build: Template = {
        "sources": ["source.docker.image"],
        "provisioner": [
            *([_local("set -e", *before)] if before else []),
            _local(ansible),
            _local("set -e", *taking(CHANGES, LAYER)),
        ],
        "post-processors": [{"post-processor": chain}],
    }
    whole: Template = {"source": {"docker": {"image": source}}, "build": [build]}
    if packer >= PLUGINS_SINCE:
        return {"packer": {"required_plugins": {"docker": DOCKER_PLUGIN}}, **whole}
    return whole


def null_template(scripts: Sequence[Sequence[str]], files: Sequence[str]) -> Template:
    """Commands on this machine, one script after the other, that make these files. The null builder and shell-local are
    part of every Packer, so the template is the same for all."""
    provisioners = [{"shell-local": {"inline": list(lines)}} for lines in scripts]
    chain = [{"artifice": {"files": list(files)}}, {"manifest": {"output": MANIFEST}}]
    build: Template = {
        "sources": ["source.null.tree"],
        "provisioner": provisioners,
        "post-processors": [{"post-processor": chain}],
    }
    return {"source": {"null": {"tree": {"communicator": "none"}}}, "build": [build]}


def _local(*lines: str) -> Template:
    """Commands that run on this machine, with the container's id in `$CID`."""
    return {"shell-local": {"environment_vars": ["CID=${build.ID}"], "inline": list(lines)}}


def ansible_environment(work: Path, scratch: Path, roles: Path) -> dict[str, str]:
    """What Packer and Ansible get: all that they write goes into `work` and `scratch`, nothing into the user's home."""
    allowed = environment()
    home = Path(allowed.get("HOME", "/"))
    own = plain_environment(work, scratch, roles)
    # The docker program finds the engine through its own configuration, which is in the home that we hide.
    if (home / ".docker").is_dir():
        own.setdefault("DOCKER_CONFIG", allowed.get("DOCKER_CONFIG", str(home / ".docker")))
    return allowed | own


def plain_environment(work: Path, scratch: Path, roles: Path) -> dict[str, str]:
    """The same with nothing of the caller's, proxies and their passwords among it: for what hands it on to programs of
    the artefact."""
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
        with self.path.open("a") as file:
            file.write(text + "\n")
        if text.strip():
            self.end.append(text)

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
    return [re.sub(r"^(==>|-->)? *(?:docker\.image|null\.tree): ?", "", part) for part in text.split("\\n")]


class BuildFailed(Error):
    """The program that builds did not. Says which task failed, how its log ends and how to repeat it."""

    def __init__(self, title: str, log: Log) -> None:
        kind, _, name = title.partition("/")
        again = name if kind == Kind.CONTAINER else f"{name} --kind {kind}"
        where = f" in the task {log.task!r}" if log.task else ""
        super().__init__(
            f"building {title} failed{where}",
            details="\n".join(log.end),
            resolution=f"The whole log is in {log.path}. Repeat it with: smie build {again}",
        )


class TookTooLong(Error):
    """What builds did not end in time, and was ended. Says in which task that was, and how long the task took."""

    def __init__(self, title: str, log: Log, limit: timedelta) -> None:
        spent = time.monotonic() - log.begun
        task = f"The task {log.task!r} had been running for {spent:.0f} s." if log.task else "No task had begun."
        super().__init__(
            f"building {title} did not end within {limit.total_seconds():g} s",
            details=task,
            resolution=f"Mend what hangs, or give more time with --time-limit. The whole log is in {log.path}. "
            "Nothing of this build was kept.",
        )


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
        raise BuildFailed(title, log) from error


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
