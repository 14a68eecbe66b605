"""Under what the same is built twice: in other folders, as another user, at another time, in another language.

What a build must not depend on is made different here, all at once; what it may depend on, the inputs, stays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from smie.otherwise import Otherwise


@dataclass(frozen=True, slots=True)
class Conditions:
    """`folder` is below that of the check; `home` below it again. With `uid` the build runs as a user of that number,
    where it needs no root. Files of definitions are written in the order of their names, or the other way round."""

    folder: str
    home: str
    user: str
    uid: int
    umask: int
    later: timedelta
    locale: str
    zone: str
    backwards: bool
    host: str  # where it is `later`

    def said(self, root: bool) -> dict[str, object]:
        """As `--json` prints it."""
        return {
            "folder": self.folder,
            "user": self.user,
            "uid": os.geteuid() if root else self.uid,
            "umask": f"{self.umask:03o}",
            "later": self.later,
            "locale": self.locale,
            "zone": self.zone,
            "files": "backwards" if self.backwards else "in order",
        }

    @property
    def other(self) -> Otherwise:
        """What the build itself has to do for it."""
        return Otherwise(self.later, self.host, self.backwards)


FIRST = Conditions(
    "a", "home/alice", "alice", 1001, 0o022, timedelta(0), "C.UTF-8", "UTC", False, "",
)  # fmt: skip
SECOND = Conditions(
    "second/build/in/a-folder-with-a-longer-name", "srv/people/bob", "bob", 2002, 0o077, timedelta(days=400),
    "de_DE.UTF-8", "Pacific/Kiritimati", True, "another",
)  # fmt: skip


def command(conditions: Conditions, argv: Sequence[str], *, root: bool) -> tuple[str, ...]:
    """The command with the mask of new files and, unless it needs root, as the other user (unshare(1),
    user_namespaces(7)): whoever runs this owns what it writes. It is interrupted when we are killed (setpriv(1))."""
    mask = f'umask {conditions.umask:03o}; exec "$@"'
    masked = ("setpriv", "--pdeathsig", "INT", "--", "sh", "-c", mask, "sh", *argv)
    if root:
        return masked
    return ("unshare", f"--map-user={conditions.uid}", f"--map-group={conditions.uid}", "--", *masked)


def environment(conditions: Conditions, folder: Path) -> dict[str, str]:
    """What differs of the environment, for a build in `folder`."""
    home = folder / conditions.home
    home.mkdir(parents=True, exist_ok=True)
    docker = Path(os.environ.get("DOCKER_CONFIG") or Path(os.environ.get("HOME", "/")) / ".docker")
    return {
        "HOME": str(home),
        "USER": conditions.user,
        "LOGNAME": conditions.user,
        "LANG": conditions.locale,
        "LC_ALL": conditions.locale,
        "TZ": conditions.zone,
        **({"DOCKER_CONFIG": str(docker)} if docker.is_dir() else {}),
    }


def definitions(conditions: Conditions, source: Path, target: Path) -> Path:
    """A copy of a folder of definitions, as another checkout has it: what may be executed stays so, permissions are
    those of the user's mask, and files are written in another order. Raises OSError."""
    found = sorted(source.rglob("*"), reverse=conditions.backwards)
    for path in found:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            copy.symlink_to(path.readlink())
        elif path.is_dir():
            copy.mkdir(exist_ok=True)
        else:
            copy.write_bytes(path.read_bytes())
            copy.chmod((0o777 if path.stat().st_mode & 0o100 else 0o666) & ~conditions.umask)
    return target


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for builds that only compare: nothing is signed, and what was configured for the store to build
    into does not count."""
    gone = ("NAUST_KEY", "NAUST_KEY_PASSPHRASE", "NAUST_STORE", "SMIE_CACHE", "SMIE_SNAPSHOT", "SETER_SYSTEMS")
    return {name: value for name, value in environment.items() if name not in gone}
