"""Names that others have laid down (Debian, Linux, users, parameter types) and what attributes take them as.

As in `common.values`: each function takes the literal and returns the value, or raises Wrong.
"""

from __future__ import annotations

import re
import signal

from common.hcl import Literal
from common.role import ParameterType, Value
from common.values import Wrong, as_integer, as_text, did_you_mean, many, shown

HEAVIEST = 10_000  # systemd.resource-control(5), CPUWeight=
LONGEST_UID = 2**32 - 2  # the kernel keeps 2**32 - 1 for "no user"
# capabilities(7), without CAP_.
_CAPABILITIES = (
    "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE "
    "DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD "
    "NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN "
    "SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG WAKE_ALARM"
)
CAPABILITIES = frozenset(_CAPABILITIES.split())
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")  # Debian policy 5.6.1
_SOFTWARE = re.compile(r"pypi:[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?==[A-Za-z0-9.!+_-]+")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")  # useradd(8)
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
_LIST = re.compile(r"list\((.*)\)")


def as_package(literal: Literal) -> str:
    """Name of a Debian package, without a version: that comes from the snapshot."""
    if not _PACKAGE.fullmatch(as_text(literal)):
        raise Wrong(f"{shown(literal)} is no name of a Debian package", 'write a name alone, as in "ca-certificates"')
    return as_text(literal)


def as_software(literal: Literal) -> str:
    """`pypi:NAME==VERSION`."""
    if not _SOFTWARE.fullmatch(as_text(literal)):
        raise Wrong(f"{shown(literal)} names no software", 'write "pypi:NAME==VERSION"')
    return as_text(literal)


def as_sha256(literal: Literal) -> str:
    """64 hexadecimal digits."""
    if not re.fullmatch(r"[0-9a-f]{64}", as_text(literal)):
        raise Wrong(f"{shown(literal)} is no SHA-256", "write 64 digits of 0 to 9 and a to f")
    return as_text(literal)


def as_pair(literal: Literal) -> tuple[str, str]:
    """`NAME=VALUE`, split."""
    name, equals, value = as_text(literal).partition("=")
    if not equals or not name.strip():
        raise Wrong(f"{shown(literal)} is no pair", 'write "NAME=VALUE"')
    return name.strip(), value


def as_pairs(literal: Literal) -> tuple[tuple[str, str], ...]:
    """A list of `NAME=VALUE`, each name once."""
    if not isinstance(literal, tuple):
        raise Wrong(f"{shown(literal)} is no list", f"write [{shown(literal)}]")
    pairs = tuple(as_pair(each) for each in literal)
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise Wrong(f"{name} is given twice", "keep one of the two")
    return pairs


def as_command(literal: Literal) -> Value:
    """Program and arguments, a list that is not empty."""
    command = many(as_text)(literal)
    if not command or not command[0]:
        raise Wrong("there is no program", 'write ["/path/of/program", "argument", …]')
    return command


def as_path(literal: Literal) -> str:
    """An absolute path without `..`."""
    path = as_text(literal)
    if not path.startswith("/") or ".." in path.split("/"):
        raise Wrong(f"{shown(path)} is no absolute path", "begin it with / and leave out ..")
    return path


def as_capability(literal: Literal) -> str:
    """Name of a capability without CAP_."""
    name = as_text(literal)
    if name.removeprefix("CAP_") in CAPABILITIES and name not in CAPABILITIES:
        raise Wrong(f"{shown(name)} has CAP_ before it", f"write {shown(name.removeprefix('CAP_'))}")
    if name not in CAPABILITIES:
        raise Wrong(f"{shown(name)} is no capability", did_you_mean(name, CAPABILITIES, "capabilities"))
    return name


def as_signal(literal: Literal) -> str:
    """Name of a signal, `SIGTERM`."""
    names = {each.name for each in signal.Signals}
    if as_text(literal) not in names:
        raise Wrong(f"{shown(literal)} is no signal", did_you_mean(as_text(literal), names, "signals"))
    return as_text(literal)


def as_user(literal: Literal) -> str:
    """Name of a user or group of the image."""
    if not _USER.fullmatch(as_text(literal)):
        raise Wrong(f"{shown(literal)} is no name of a user", "write a to z, 0 to 9, _ and -, at most 31 characters")
    return as_text(literal)


def as_uid(literal: Literal) -> int:
    """Number of a user."""
    number = as_integer(literal, "uid")
    if not 0 <= number <= LONGEST_UID:
        raise Wrong(f"{number} is no uid", f"write 0 to {LONGEST_UID}")
    return number


def as_cpu_weight(literal: Literal) -> int:
    """`CPUWeight=` of systemd.resource-control(5)."""
    number = as_integer(literal, "weight")
    if not 1 <= number <= HEAVIEST:
        raise Wrong(f"{number} is no weight", f"write 1 to {HEAVIEST}; 100 is what others have")
    return number


def as_identifier(literal: Literal) -> str:
    """A name that is also the end of an Ansible variable."""
    if not _IDENTIFIER.fullmatch(as_text(literal)):
        raise Wrong(f"{shown(literal)} cannot name a parameter", "write a to z, 0 to 9 and _, a letter first")
    return as_text(literal)


def as_parameter_type(literal: Literal) -> tuple[ParameterType, bool]:
    """`TYPE` or `list(TYPE)`; the type, and whether it is a list."""
    text = as_text(literal)
    found = _LIST.fullmatch(text)
    name = found[1] if found else text
    if name not in set(ParameterType):
        raise Wrong(f"{shown(text)} is no type", did_you_mean(name, ParameterType, "types"))
    if found and name == ParameterType.NODES:
        raise Wrong(f"{shown(text)} is no type", 'write "nodes": a group is many nodes already')
    return ParameterType(name), found is not None


def as_expected(literal: Literal) -> str:
    """Text, or a number, as text."""
    return str(literal) if isinstance(literal, int) and not isinstance(literal, bool) else as_text(literal)


def as_literal(literal: Literal) -> Literal:
    """As it stands; its type is judged where the parameter is known."""
    return literal


def as_absent_or_command(literal: Literal) -> Value:
    """Arguments; an empty list is a statement too."""
    return many(as_text)(literal)


def as_network_length(literal: Literal) -> int:
    """Length of an IPv4 network that has room for nodes, which are numbered up to 199, and for the engine, 254."""
    length = as_integer(literal, "length")
    if not 8 <= length <= 24:
        raise Wrong(f"{length} is no length for a network of nodes", "write 8 to 24")
    return length
