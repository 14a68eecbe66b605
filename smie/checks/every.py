"""What holds for every artefact, whatever is in it. Run by smie, beside the checks of the roles."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from testinfra.host import Host

from smie.checks.facts import ImageFacts

Seen = Mapping[str, list[str]]
BUILD_TOOLS = ("gcc", "cc", "g++", "c++", "clang", "make", "cmake", "ld.gold")

# One program for all that is asked, because each way into the artefact costs a tenth of a second or more. What it finds
# comes in lines, `what rest`.
LOOK = r"""
exec 2>/dev/null
find / -xdev -type f -perm /6000 -printf 'setuid %p\n'
find / -xdev \( -type f -o -type d ! -perm -1000 \) -perm -0002 -printf 'writable %p\n'
find /usr /etc -xdev ! -user root -printf 'foreign %u %p\n'
find /var/lib/apt/lists /var/cache/apt /var/cache/debconf/*-old /var/tmp /tmp /root -xdev \
  \( -path /tmp/check-\* -o -path /var/lib/apt/lists/partial -o -path /var/lib/apt/lists/auxfiles \) -prune \
  -o -mindepth 1 -type f -printf 'left %p\n'
find /home -xdev \( -name .ansible -o -name .cache \) -printf 'left %p\n'
find /usr/local /opt -xdev -name __pycache__ -printf 'left %p\n'
find /smie /packer-files /root/.ansible -maxdepth 0 -printf 'left %p\n'
find /etc/ssh -name 'ssh_host_*' -printf 'hostkey %p\n'
for each in TOOLS; do command -v $each >/dev/null && echo tool $each; done
awk -F: '$2 !~ /^[!*]/ { print "password", $1 }' /etc/shadow
awk -F: '{ print "user", $1, $3 }' /etc/passwd
dpkg-query --show --showformat '${db:Status-Abbrev} package ${Package} ${Version}\n' | sed -n 's/^ii  *//p'
for each in PROGRAMS; do
    case "$each" in  # no program is found by what the shell itself can do, such as test
    */*) found=$each ;;
    *) found=$(IFS=:; for folder in $PATH; do [ ! -x "$folder/$each" ] || { echo "$folder/$each"; break; }; done) ;;
    esac
    [ -x "$found" ] && echo program $each
done
exit 0
"""
KNOWN_FILES = ("/root/.bashrc", "/root/.profile")


@pytest.fixture(scope="module")
def seen(host: Host, image: ImageFacts) -> Seen:
    """What there is, by kind."""
    programs = sorted({program for role in image.roles for program in role.programs})
    script = LOOK.replace("TOOLS", " ".join(BUILD_TOOLS)).replace("PROGRAMS", " ".join(programs))
    answer = host.run(script)
    assert answer.rc == 0, answer.stderr
    found: dict[str, list[str]] = {}
    for line in answer.stdout.splitlines():
        what, _, rest = line.partition(" ")
        found.setdefault(what, []).append(rest)
    return found


def test_it_is_no_larger_than_its_budget(image: ImageFacts) -> None:
    assert image.size_at_most is None or image.size <= image.size_at_most, (
        f"{image.size / 2**20:.1f} MiB, {image.size_at_most / 2**20:.1f} MiB are allowed by size_at_most"
    )


def test_the_packages_in_it_are_those_of_its_recipe(seen: Seen, image: ImageFacts) -> None:
    there = set(seen.get("package", []))
    wanted = {f"{name} {version}" for name, version in image.packages}
    assert sorted(there ^ wanted) == []


def test_no_file_is_setuid_or_setgid_but_those_that_its_definition_names(seen: Seen, image: ImageFacts) -> None:
    assert sorted(set(seen.get("setuid", [])) - set(image.setuid)) == []


def test_nothing_can_be_written_by_everybody(seen: Seen) -> None:
    assert seen.get("writable", []) == []


def test_programs_and_settings_belong_to_root(seen: Seen) -> None:
    assert seen.get("foreign", []) == []


def test_nothing_of_the_build_is_left(seen: Seen, image: ImageFacts) -> None:
    if not image.booted:
        assert sorted(set(seen.get("left", [])) - set(KNOWN_FILES)) == []


def test_it_brings_no_host_keys(seen: Seen, image: ImageFacts) -> None:
    if not image.booted:
        assert seen.get("hostkey", []) == []


def test_it_has_no_build_tools_but_those_that_were_asked_for(seen: Seen, image: ImageFacts) -> None:
    assert sorted(set(seen.get("tool", [])) - set(image.asked)) == []


def test_nobody_has_a_password(seen: Seen) -> None:
    assert seen.get("password", []) == []


def test_each_process_has_the_user_that_its_role_says(seen: Seen, image: ImageFacts) -> None:
    wanted = {f"{role.user} {role.uid}" for role in image.roles if role.user}
    assert sorted(wanted - set(seen["user"])) == []


def test_all_programs_that_its_roles_run_are_there(seen: Seen, image: ImageFacts) -> None:
    wanted = {program for role in image.roles for program in role.programs}
    assert sorted(wanted - set(seen.get("program", []))) == []
