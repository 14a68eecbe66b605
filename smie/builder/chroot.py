"""Programs in a tree of files, with mounts that nobody else sees and that the kernel takes away with the last of them.

The scripts run in a mount and a process namespace of their own (unshare(1)): whatever is killed, no mount and no
process is left. Device nodes are those of this machine, bound one by one; nothing is made with mknod(2).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
SCRIPT = "inside.sh"
# As process 1 the shell would not hear signals; its death ends all that it started.
UNSHARE = "unshare --mount --pid --fork --kill-child -- /bin/sh -eu"
ENTER = f"exec {UNSHARE} {SCRIPT}"
LOOK = "look.sh"
SHELL = 'exec chroot "$tree" /bin/bash -l'


def look(folder: Path, text: str) -> str:
    """The command that runs a script, of the folder of a build, in namespaces of its own."""
    (folder / LOOK).write_text(text)
    return f"cd {shlex.quote(str(folder))} && {UNSHARE} {LOOK}"


_KERNEL = (
    'mount -t proc proc "$tree/proc"',
    'mount -t tmpfs -o mode=755 dev "$tree/dev"',
    *(f': >"$tree/dev/{name}"; mount --bind /dev/{name} "$tree/dev/{name}"' for name in DEVICES),
    'mkdir -m 1777 "$tree/dev/shm"',
    'ln -s /proc/self/fd "$tree/dev/fd"; ln -s /proc/self/fd/0 "$tree/dev/stdin"',
    'ln -s /proc/self/fd/1 "$tree/dev/stdout"; ln -s /proc/self/fd/2 "$tree/dev/stderr"',
)


def looking(tree: str, command: str) -> str:
    """A shell script for a namespace of its own: the tree, which cannot be written, gets a /run and a /tmp that can,
    /proc, /dev and a loopback; then the command."""
    lines = (
        f"tree={shlex.quote(tree)}",
        'mount --bind "$tree" "$tree"; mount -o remount,bind,ro "$tree"',
        'mount -t tmpfs -o mode=1777 tmp "$tree/tmp"; mount -t tmpfs -o mode=755 run "$tree/run"',
        *_KERNEL,
        "if command -v ip >/dev/null; then ip link set lo up; fi",
        command,
    )
    return "\n".join(lines) + "\n"


def script(tree: str, binds: Mapping[Path, str], commands: Sequence[str], *, writable: Sequence[str] = ()) -> str:
    """A shell script for ENTER: /proc, /dev and a /smie/tmp of its own in the tree, folders of this machine bound where
    they are to be seen (read-only but for `writable`), then the commands."""
    lines = [
        f"tree={shlex.quote(tree)}",
        "umask 022",  # as in a container, whoever builds
        'mkdir -p "$tree/proc" "$tree/dev" "$tree/smie/tmp"',
        'mount -t tmpfs -o mode=1777 tmp "$tree/smie/tmp"',
        *_KERNEL,
    ]
    for here, there in binds.items():
        place = f'"$tree"{shlex.quote(there)}'
        lines += [f"mkdir -p {place}", f"mount --bind {shlex.quote(str(here))} {place}"]
        if there not in writable:
            lines.append(f"mount -o remount,bind,ro {place}")
    return "\n".join((*lines, *commands)) + "\n"
