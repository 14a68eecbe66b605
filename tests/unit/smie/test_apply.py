"""What is told to Ansible for a host, and what its output says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import BadInput, Denied, Unavailable
from common.model import Digest
from smie.apply import Applied, ApplyFailed, Host, argv, plays, told
from smie.packer import Log


@pytest.mark.parametrize(
    ("text", "user", "name"),
    [("gw1", "root", "gw1"), ("ops@gw1.example", "ops", "gw1.example"), ("root@2001:db8::1", "root", "2001:db8::1")],
)
def test_a_host_is_what_a_person_writes(text: str, user: str, name: str) -> None:
    assert Host.parse(text) == Host(user, name)


@pytest.mark.parametrize("text", ["", "-oProxyCommand=x", "a b", "ops@", "gw1,gw2", "gw1;x", "o ps@x"])
def test_what_could_be_an_option_or_two_hosts_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no host"):
        Host.parse(text)


def test_a_configuration_of_ssh_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file"):
        Host.parse("gw1", tmp_path / "none")


def test_the_command_names_host_and_play_alone_and_a_check_is_one() -> None:
    words = argv(Host("ops", "gw1"), check=False)
    assert words[-4:] == ("ansible-playbook", "--inventory", "gw1,", "play.json")
    assert "--check" in argv(Host("ops", "gw1"), check=True)


def test_the_play_checks_the_key_brings_installs_and_takes_away_again() -> None:
    (play,) = plays([("bird", {"packages": ["bird2"]})], Host("ops", "gw1"), "/w/brought.tar", "/tmp/.smie-1")
    values = play["vars"]
    assert isinstance(values, dict)
    assert values["ansible_become"] is True and "StrictHostKeyChecking=yes" in values["ansible_ssh_common_args"]
    text = json.dumps(play)
    order = [
        "See whether an earlier",
        "Bring it",
        "Keep services from",
        "Install bird",
        "Let services",
        "Take it away",
        "Leave nothing",
    ]
    assert text.count("Let services be started again") == 2
    places = [text.rindex(name) for name in order]
    assert places == sorted(places) and '"ignore_errors": false' in text
    root, *_ = plays([], Host("root", "gw1"), "", "")
    assert isinstance(root["vars"], dict) and root["vars"]["ansible_become"] is False


LINES = """\
TASK [smie : Bring it] *****
changed: [gw1]
TASK [bird : Install packages] ****
changed: [gw1]
TASK [bird : Look] ****
ok: [gw1]
TASK [bird : Link] ****
fatal: [gw1]: FAILED! => {}
TASK [smie : Take it away] ****
changed: [gw1]
"""


def test_what_changed_is_read_without_our_own_tasks() -> None:
    applied = Applied("bird", "root@gw1", Digest.of(b""), True)
    begun = [task for line in LINES.splitlines() if (task := applied.take(line))]
    assert begun == applied.tasks == ["bird : Install packages", "bird : Look", "bird : Link"]
    assert applied.changed == ["bird : Install packages"] and applied.unknown == ["bird : Link"]
    assert applied.shown()["unknown"] == ["bird : Link"]


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        ("gw1 | UNREACHABLE! => Host key verification failed.", Denied, 1),
        ("gw1 | UNREACHABLE! => Connection refused", Unavailable, 9),
        ("fatal: [gw1]: FAILED! => {}", ApplyFailed, 1),
    ],
)
def test_why_it_did_not_work_is_told_apart(tmp_path: Path, said: str, kind: type, code: int) -> None:
    log = Log(tmp_path / "log", lambda task: None)
    log.write(said)
    error = told(said, "bird", Host("ops", "gw1"), log)
    assert type(error) is kind and error.exit_code == code
    assert error.resolution.endswith("smie apply bird --host ops@gw1") and said in error.details
