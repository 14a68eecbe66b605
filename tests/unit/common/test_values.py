"""common.values and common.names: each literal means one thing, and what means nothing says what to write."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from common import names, values
from common.hcl import Literal
from common.role import ParameterType, Value
from common.values import Wrong


def refused(take: Callable[[Literal], object], literal: Literal) -> str:
    with pytest.raises(Wrong) as caught:
        take(literal)
    return f"{caught.value.message}; {caught.value.fix}"


@pytest.mark.parametrize(
    ("take", "literal", "expected"),
    [
        (values.as_duration, "100ms", timedelta(milliseconds=100)),
        (values.as_duration, "1.5m", timedelta(seconds=90)),
        (values.as_duration, "12h", timedelta(hours=12)),
        (values.as_duration, "3650d", timedelta(days=3650)),
        (values.as_duration, "0s", timedelta(0)),
        (values.as_ports, 443, "443"),
        (values.as_ports, "6800-7300", "6800-7300"),
        (values.as_size, "0B", 0),
        (values.as_size, "64KiB", 65536),
        (values.as_size, "1.5GiB", 3 << 29),
        (values.as_size, "2TiB", 2 << 40),
        (values.as_address, "192.0.2.10", "192.0.2.10"),
        (values.as_address, "2001:DB8:0::10", "2001:db8::10"),
        (values.as_prefix, "10.20.0.0/24", "10.20.0.0/24"),
        (values.as_prefix, "2001:DB8::/32", "2001:db8::/32"),
        (values.as_prefix, "0.0.0.0/0", "0.0.0.0/0"),
        (values.as_port, 1, 1),
        (values.as_port, 65535, 65535),
        (values.as_asn, 1, 1),
        (values.as_asn, 4294967294, 4294967294),
        (values.as_count, 0, 0),
        (values.as_flag, True, True),
        (values.as_name, "S3.example.test.", "s3.example.test"),
        (values.as_name, "a", "a"),
        (names.as_pairs, ("A=b", "c=d=e"), (("A", "b"), ("c", "d=e"))),
        (names.as_parameter_type, "list(address)", (ParameterType.ADDRESS, True)),
        (names.as_expected, 200, "200"),
    ],
)
def test_a_literal_gets_its_value(take: Callable[[Literal], object], literal: Literal, expected: Value) -> None:
    assert take(literal) == expected


ASN = "write one between 1 and 4294967294; 64512 to 65534 are for private use"
DURATION = 'write a number and ms, s, m, h or d, as in "500ms" or "15m"'
SIZE = 'write a number and B, KiB, MiB, GiB or TiB, as in "64KiB"'
ADDRESS = 'write one such as "192.0.2.10" or "2001:db8::10"'
PREFIX = 'write one such as "10.20.0.0/24" or "2001:db8::/48"'
NAME = "write labels of a to z, 0 to 9 and -, 63 characters at most, with dots between; 253 in all"


@pytest.mark.parametrize(
    ("take", "literal", "message"),
    [
        (values.as_text, 5, '5 is not text; write it in quotes, "…"'),
        (values.as_flag, "true", '"true" is no flag; write true or false, without quotes'),
        (values.as_flag, 1, "1 is no flag; write true or false, without quotes"),
        (values.as_count, -1, "-1 is no count; write 0 or more"),
        (values.as_count, 1.5, "1.5 is no count; write a whole number, without quotes"),
        (values.as_count, True, "true is no count; write a whole number, without quotes"),
        (values.as_port, 0, "0 is no port; ports are 1 to 65535"),
        (
            values.as_ports,
            "7300-6800",
            '"7300-6800" is no range of ports; write it like 6800-7300, the lower port first',
        ),
        (values.as_ports, "a-b", '"a-b" is no range of ports; write it like 6800-7300, the lower port first'),
        (values.as_port, 65536, "65536 is no port; ports are 1 to 65535"),
        (values.as_port, "80", '"80" is no port; write a whole number, without quotes'),
        (values.as_asn, 0, f"AS number 0 may not be used: RFC 7607 reserves it; {ASN}"),
        (
            values.as_asn,
            23456,
            f"AS number 23456 may not be used: RFC 6793 keeps it for the transition to four octets; {ASN}",
        ),
        (values.as_asn, 65535, f"AS number 65535 may not be used: RFC 7300 reserves it; {ASN}"),
        (values.as_asn, 4294967295, f"AS number 4294967295 may not be used: RFC 7300 reserves it; {ASN}"),
        (values.as_asn, 4294967296, f"4294967296 is no AS number; {ASN}"),
        (values.as_asn, -1, f"-1 is no AS number; {ASN}"),
        (values.as_duration, 5, f"5 is no duration; {DURATION}"),
        (values.as_duration, "5", f'"5" is no duration; {DURATION}'),
        (values.as_duration, "5 s", f'"5 s" is no duration; {DURATION}'),
        (values.as_duration, "-5s", f'"-5s" is no duration; {DURATION}'),
        (values.as_duration, "5S", f'"5S" is no duration; {DURATION}'),
        (values.as_duration, "\u0665s", f'"\u0665s" is no duration; {DURATION}'),
        (values.as_duration, "99999d", '"99999d" is too long; a duration is at most 3650d'),
        (values.as_duration, "999999999d", '"999999999d" is too long; a duration is at most 3650d'),
        (values.as_size, "4GB", f'"4GB" is no size; {SIZE}'),
        (values.as_size, 4096, f"4096 is no size; {SIZE}"),
        (values.as_address, "10.0.0.256", f'"10.0.0.256" is no address: 256 is out of range 0 to 255; {ADDRESS}'),
        (values.as_address, "10.0.0", f'"10.0.0" is no address; {ADDRESS}'),
        (values.as_address, "010.0.0.1", f'"010.0.0.1" is no address: a number starts with 0; {ADDRESS}'),
        (
            values.as_address,
            "10.0.0.1/24",
            '"10.0.0.1/24" is no address; write it without the length, "10.0.0.1"',
        ),
        (values.as_address, "2001:db8::g", f'"2001:db8::g" is no address; {ADDRESS}'),
        (values.as_address, "fe80::1%eth0", '"fe80::1%eth0" is an address with a zone; write "fe80::1"'),
        (values.as_address, 10, f"10 is no address; {ADDRESS}"),
        (values.as_prefix, "10.20.0.1/24", '"10.20.0.1/24" has bits set beyond /24; write "10.20.0.0/24"'),
        (values.as_prefix, "2001:db8::1/32", '"2001:db8::1/32" has bits set beyond /32; write "2001:db8::/32"'),
        (values.as_prefix, "10.20.0.0/33", f'"10.20.0.0/33" is no prefix: its length must be 0 to 32; {PREFIX}'),
        (values.as_prefix, "2001:db8::/129", f'"2001:db8::/129" is no prefix: its length must be 0 to 128; {PREFIX}'),
        (
            values.as_prefix,
            "10.20.0.0/255.255.255.0",
            f'"10.20.0.0/255.255.255.0" is no prefix: its length must be 0 to 32; {PREFIX}',
        ),
        (values.as_prefix, "10.20.0.0", f'"10.20.0.0" is no prefix; {PREFIX}'),
        (values.as_prefix, "10.20.0.300/24", f'"10.20.0.300/24" is no prefix: 300 is out of range 0 to 255; {PREFIX}'),
        (values.as_name, "s3_x.example", f'"s3_x.example" is no DNS name: "s3_x" is no label of one; {NAME}'),
        (values.as_name, "a..b", f'"a..b" is no DNS name: "" is no label of one; {NAME}'),
        (values.as_name, "", f'"" is no DNS name; {NAME}'),
        (values.as_name, "-a", f'"-a" is no DNS name: "-a" is no label of one; {NAME}'),
        (values.many(values.as_port), 80, "80 is no list; write [80]"),
        (values.many(values.as_port), (80, 0), "0 is no port; ports are 1 to 65535"),
        (values.one_of("restart", "reload"), "relaod", '"relaod" is no choice; did you mean "reload"?'),
        (values.one_of("a", "b"), "xyz", '"xyz" is no choice; choices are: a, b'),
        (
            values.as_label,
            "Gateways",
            '"Gateways" is no name; write a to z, 0 to 9 and - inside, 63 characters at most',
        ),
        (
            names.as_package,
            "python3=3.13",
            '"python3=3.13" is no name of a Debian package; write a name alone, as in "ca-certificates"',
        ),
        (names.as_software, "pypi:x", '"pypi:x" names no software; write "pypi:NAME==VERSION"'),
        (names.as_sha256, "abc", '"abc" is no SHA-256; write 64 digits of 0 to 9 and a to f'),
        (names.as_pairs, ("A=1", "A=2"), "A is given twice; keep one of the two"),
        (names.as_pairs, ("A",), '"A" is no pair; write "NAME=VALUE"'),
        (names.as_command, (), 'there is no program; write ["/path/of/program", "argument", …]'),
        (names.as_path, "etc/x", '"etc/x" is no absolute path; begin it with / and leave out ..'),
        (names.as_path, "/etc/../x", '"/etc/../x" is no absolute path; begin it with / and leave out ..'),
        (names.as_capability, "CAP_NET_ADMIN", '"CAP_NET_ADMIN" has CAP_ before it; write "NET_ADMIN"'),
        (names.as_capability, "NET_ADMN", '"NET_ADMN" is no capability; did you mean "NET_ADMIN"?'),
        (names.as_signal, "TERM", '"TERM" is no signal; did you mean "SIGTERM"?'),
        (names.as_uid, -1, "-1 is no uid; write 0 to 4294967294"),
        (names.as_cpu_weight, 0, "0 is no weight; write 1 to 10000; 100 is what others have"),
        (names.as_cpu_weight, 10001, "10001 is no weight; write 1 to 10000; 100 is what others have"),
        (
            names.as_parameter_type,
            "adress",
            '"adress" is no type; did you mean "address"?',
        ),
        (
            names.as_parameter_type,
            "list(nodes)",
            '"list(nodes)" is no type; write "nodes": a group is many nodes already',
        ),
    ],
)
def test_what_means_nothing_says_what_to_write(
    take: Callable[[Literal], object], literal: Literal, message: str
) -> None:
    assert refused(take, literal) == message


@given(some.integers(0, 10**9))
def test_a_duration_reads_back_as_it_is_shown(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert values.as_duration(values.text_of_duration(duration)) == duration


@given(some.ip_addresses())
def test_an_address_is_kept_in_canonical_form(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert values.as_address(address.exploded) == str(address)


ANY = some.one_of(some.text(max_size=20), some.integers(), some.booleans(), some.floats(), some.just(()))


@given(ANY, some.sampled_from(ParameterType), some.booleans())
def test_any_literal_is_a_value_or_one_clear_error(literal: Literal, kind: ParameterType, is_list: bool) -> None:
    try:
        values.typed(literal, kind, is_list, ("a", "b"))
    except Wrong as wrong:
        assert wrong.message
        assert wrong.fix
