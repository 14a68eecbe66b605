"""What a literal of HCL means: durations, sizes, addresses, ports, AS numbers, names.

Each function takes the literal and returns the typed value, or raises Wrong: what is wrong and what to write.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal

from common.hcl import Literal
from common.role import ParameterType, Value

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(B|KiB|MiB|GiB|TiB)")
_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_RESERVED_ASN = {
    0: "RFC 7607 reserves it",
    23456: "RFC 6793 keeps it for the transition to four octets",
    65535: "RFC 7300 reserves it",
    4294967295: "RFC 7300 reserves it",
}
_ASN_FIX = "write one between 1 and 4294967294; 64512 to 65534 are for private use"
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
LONGEST_DURATION = timedelta(days=3650)


class Wrong(ValueError):
    """The literal is no such value.

    `attribute` names where, when it is not the one being read; with `instead` what is around it can be read on.
    """

    def __init__(self, message: str, fix: str, attribute: str = "", *, instead: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.attribute = attribute
        self.instead = instead


def shown(literal: Literal) -> str:
    """The literal as HCL writes it."""
    if isinstance(literal, bool):
        return "true" if literal else "false"
    if isinstance(literal, str):
        return f'"{literal.translate(_ESCAPED)}"'.replace("${", "\\u0024{").replace("%{", "\\u0025{")
    if isinstance(literal, tuple):
        return f"[{', '.join(map(shown, literal))}]"
    return str(literal)


def did_you_mean(word: str, known: Iterable[str], plural: str) -> str:
    """`did you mean "x"?`, or what there is."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"{plural} are: {', '.join(names)}" if names else f"there are no {plural}"


def whole(literal: Literal) -> Value:
    """The literal, which may hold no fraction: no type of parameter takes one."""
    if isinstance(literal, float):
        raise Wrong(f"{shown(literal)} is a fraction", "write a whole number")
    return tuple(whole(each) for each in literal) if isinstance(literal, tuple) else literal


def as_text(literal: Literal) -> str:
    """Any text."""
    if not isinstance(literal, str):
        raise Wrong(f"{shown(literal)} is not text", 'write it in quotes, "…"')
    return literal


def as_flag(literal: Literal) -> bool:
    """true or false."""
    if not isinstance(literal, bool):
        raise Wrong(f"{shown(literal)} is no flag", "write true or false, without quotes")
    return literal


def as_integer(literal: Literal, what: str = "number") -> int:
    """A whole number."""
    if isinstance(literal, bool) or not isinstance(literal, int):
        raise Wrong(f"{shown(literal)} is no {what}", "write a whole number, without quotes")
    return literal


def as_count(literal: Literal) -> int:
    """An integer, 0 or more."""
    number = as_integer(literal, "count")
    if number < 0:
        raise Wrong(f"{number} is no count", "write 0 or more")
    return number


def as_port(literal: Literal) -> int:
    """1 to 65535."""
    number = as_integer(literal, "port")
    if not 1 <= number <= 65535:
        raise Wrong(f"{number} is no port", "ports are 1 to 65535")
    return number


def as_ports(literal: Literal) -> str:
    """A port, or a range of ports: `6800-7300`."""
    if not isinstance(literal, str):
        return str(as_port(literal))
    ends = [int(end) for end in literal.split("-") if end.isascii() and end.isdigit()]
    if literal.count("-") != 1 or len(ends) != 2 or as_port(ends[0]) >= as_port(ends[1]):
        raise Wrong(f"{shown(literal)} is no range of ports", "write it like 6800-7300, the lower port first")
    return literal


def as_asn(literal: Literal) -> int:
    """1 to 4294967294, without the reserved ones."""
    number = as_integer(literal, "AS number")
    if number in _RESERVED_ASN:
        raise Wrong(f"AS number {number} may not be used: {_RESERVED_ASN[number]}", _ASN_FIX)
    if not 1 <= number <= 4294967294:
        raise Wrong(f"{number} is no AS number", _ASN_FIX)
    return number


def as_duration(literal: Literal) -> timedelta:
    """`500ms`, `10s`, `1.5m`, `12h`, `7d`; at most ten years."""
    found = _DURATION.fullmatch(literal) if isinstance(literal, str) else None
    if found is None:
        raise Wrong(f"{shown(literal)} is no duration", 'write a number and ms, s, m, h or d, as in "500ms" or "15m"')
    microseconds = Decimal(found[1]) * _SECONDS[found[2]] * 1_000_000
    duration = timedelta(microseconds=int(min(microseconds, Decimal(10**15))))
    if duration > LONGEST_DURATION:
        raise Wrong(f"{shown(literal)} is too long", "a duration is at most 3650d")
    return duration


def text_of_duration(duration: timedelta) -> str:
    """As HCL writes it, in the largest unit that needs no fraction."""
    milliseconds = duration // timedelta(milliseconds=1)
    units = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000}
    for unit, length in units.items():
        if milliseconds and milliseconds % length == 0 and (unit != "d" or milliseconds > length):
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms"


def as_size(literal: Literal) -> int:
    """`64KiB`, `4GiB`; the number of bytes."""
    found = _SIZE.fullmatch(literal) if isinstance(literal, str) else None
    if found is None:
        raise Wrong(f"{shown(literal)} is no size", 'write a number and B, KiB, MiB, GiB or TiB, as in "64KiB"')
    return int(Decimal(found[1]) * _BYTES[found[2]])


def as_address(literal: Literal) -> str:
    """An IPv4 or IPv6 address without length or zone, in canonical form."""
    text = literal if isinstance(literal, str) else ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Wrong(f"{shown(literal)} is no address{_address_fault(text)}", _address_fix(text)) from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise Wrong(f"{shown(literal)} is an address with a zone", f'write "{text.partition("%")[0]}"')
    return str(address)


def _address_fault(text: str) -> str:
    numbers = text.partition("/")[0].split(".")
    if len(numbers) == 4 and all(number.isdecimal() for number in numbers):
        outside = [number for number in numbers if int(number[:9]) > 255]
        if outside:
            return f": {outside[0]} is out of range 0 to 255"
        if any(len(number) > 1 and number.startswith("0") for number in numbers):
            return ": a number starts with 0"
    return ""


def _address_fix(text: str) -> str:
    address, slash, _ = text.partition("/")
    if slash and _is_address(address):
        return f'write it without the length, "{address}"'
    return 'write one such as "192.0.2.10" or "2001:db8::10"'


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def as_prefix(literal: Literal) -> str:
    """`address/length` without host bits, in canonical form."""
    text = literal if isinstance(literal, str) else ""
    address, slash, length = text.partition("/")
    fix = 'write one such as "10.20.0.0/24" or "2001:db8::/48"'
    if not slash or not _is_address(address) or "%" in address:
        raise Wrong(f"{shown(literal)} is no prefix{_address_fault(text)}", fix)
    longest = ipaddress.ip_address(address).max_prefixlen
    if not re.fullmatch(r"[0-9]{1,3}", length) or int(length) > longest:
        raise Wrong(f"{shown(literal)} is no prefix: its length must be 0 to {longest}", fix)
    network = ipaddress.ip_network(text, strict=False)
    if str(network.network_address) != str(ipaddress.ip_address(address)):
        raise Wrong(f"{shown(literal)} has bits set beyond /{length}", f'write "{network}"')
    return str(network)


def as_name(literal: Literal) -> str:
    """A DNS name (RFC 1123), lower case, without the final dot."""
    text = as_text(literal).removesuffix(".")
    labels = text.split(".")
    bad = [label for label in labels if not _LABEL.fullmatch(label)]
    if bad or len(text) > 253:
        fault = f": {shown(bad[0])} is no label of one" if bad and text else ""
        fix = "write labels of a to z, 0 to 9 and -, 63 characters at most, with dots between; 253 in all"
        raise Wrong(f"{shown(literal)} is no DNS name{fault}", fix)
    return text.lower()


def as_label(literal: Literal) -> str:
    """A name of ours (role, group, node, network): one lower-case DNS label."""
    text = as_text(literal)
    if not _LABEL.fullmatch(text) or text != text.lower():
        raise Wrong(f"{shown(text)} is no name", "write a to z, 0 to 9 and - inside, 63 characters at most")
    return text


def one_of(*choices: str) -> Callable[[Literal], str]:
    """A function that takes one of the choices."""

    def as_choice(literal: Literal) -> str:
        text = as_text(literal)
        if text not in choices:
            raise Wrong(f"{shown(text)} is no choice", did_you_mean(text, choices, "choices"))
        return text

    return as_choice


def many(one: Callable[[Literal], Value]) -> Callable[[Literal], tuple[Value, ...]]:
    """A function that takes a list of what `one` takes."""

    def as_list(literal: Literal) -> tuple[Value, ...]:
        if not isinstance(literal, tuple):
            raise Wrong(f"{shown(literal)} is no list", f"write [{shown(literal)}]")
        return tuple(one(each) for each in literal)

    return as_list


TYPES: dict[ParameterType, Callable[[Literal], Value]] = {
    ParameterType.NAME: as_name,
    ParameterType.ADDRESS: as_address,
    ParameterType.PREFIX: as_prefix,
    ParameterType.PORT: as_port,
    ParameterType.ASN: as_asn,
    ParameterType.DURATION: as_duration,
    ParameterType.SIZE: as_size,
    ParameterType.COUNT: as_count,
    ParameterType.FLAG: as_flag,
    ParameterType.CHOICE: as_text,  # and one of the parameter's choices
    ParameterType.NODES: as_label,  # and a group of the system
    ParameterType.TEXT: as_text,
}


def typed(literal: Literal, kind: ParameterType, is_list: bool, choices: tuple[str, ...] = ()) -> Value:
    """The literal as a value of a parameter's type. Raises Wrong."""
    one: Callable[[Literal], Value] = one_of(*choices) if kind is ParameterType.CHOICE else TYPES[kind]
    return many(one)(literal) if is_list else one(literal)
