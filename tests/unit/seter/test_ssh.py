"""The way to hosts: what ssh is told, and what it says, as errors of ours."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Denied, Error, Missing, Unavailable
from common.run import Result
from common.system import Machine, Node, Target
from seter.provisioner.ssh import Ssh, config, private_folder, refused, remote
from seter.trust import fingerprint, parse

NODES = (
    Node("gw1", "gateways", "10.20.0.11", manage="gw1.example.net", port=2222),
    Node("gw2", "gateways", "10.20.0.12", host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHhuBMFOCqaduqREVYi6fcy5wp26"),
)
TARGET = Target("metal", "baremetal", NODES, Path("t.hcl"), user="ops", jump="hop@[2001:db8::1]:2022")


def test_ssh_is_told_all_that_it_needs_and_to_accept_no_unknown_key(tmp_path: Path) -> None:
    text = config(TARGET, NODES, tmp_path, Path("/run/s"))
    assert text.startswith(
        "Host gw1\n  HostName gw1.example.net\n  Port 2222\n  User ops\n  HostKeyAlias gw1\n  ProxyJump seter-jump\n"
        "Host gw2\n  HostName 10.20.0.12\n  Port 22\n  User ops\n  HostKeyAlias gw2\n  ProxyJump seter-jump\n"
        "Host seter-jump\n  HostName 2001:db8::1\n  HostKeyAlias seter-jump\n  Port 2022\n  User hop\nHost *\n"
    )
    lines = [line.strip() for line in text.splitlines()]
    for wanted in ("StrictHostKeyChecking yes", "BatchMode yes", "GlobalKnownHostsFile none", "ForwardAgent no"):
        assert wanted in lines
    assert not [line for line in lines if line.startswith("IdentityFile")]
    with_key = config(
        Target("t", "baremetal", NODES, Path("t.hcl"), identity_file="/k"), NODES, tmp_path, Path("/run/s")
    )
    assert '  IdentityFile "/k"\n  IdentitiesOnly yes\n' in with_key and "ProxyJump" not in with_key


@pytest.mark.parametrize(
    ("kind", "machine", "times"),
    [
        ("virtual", Machine("qemu"), 5),
        ("virtual", Machine("qemu", accelerator="kvm"), 1),
        ("virtual", Machine("openstack"), 1),
        ("baremetal", Machine("qemu"), 1),
        ("baremetal", None, 1),
    ],
)
def test_machines_that_are_emulated_may_take_longer(
    tmp_path: Path, kind: str, machine: Machine | None, times: int
) -> None:
    target = Target("t", kind, NODES, Path("t.hcl"), machine=machine)
    made = Ssh.made(target, NODES, tmp_path / "ssh")
    assert made.patience == Ssh.remembered(tmp_path / "ssh").patience == times
    assert f"  ConnectTimeout {10 * times}\n  ServerAliveInterval {5 * times}\n" in made.config.read_text()


def test_what_was_written_is_remembered_and_only_pinned_keys_are_in_it(tmp_path: Path) -> None:
    made = Ssh.made(TARGET, NODES, tmp_path / "ssh")
    assert Ssh.remembered(tmp_path / "ssh").users == made.users == {"gw1": "ops", "gw2": "ops"}
    assert (tmp_path / "ssh" / "pinned").read_text() == f"gw2 {NODES[1].host_key}\n"
    assert Ssh.remembered(tmp_path / "nowhere").users == {}


def test_sockets_lie_where_nobody_else_can_put_one(tmp_path: Path) -> None:
    folder = private_folder(tmp_path)
    try:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and len(str(folder)) < 60
        folder.chmod(0o755)
        with pytest.raises(Denied):
            private_folder(tmp_path)
    finally:
        folder.rmdir()


def test_a_command_is_one_word_for_each_of_its_arguments() -> None:
    assert remote(Path("/c"), "gw1", ["echo", "a b", "$x"], "ops") == [
        "ssh", "-F", "/c", "-T", "gw1", "--", "sudo -n -- echo 'a b' '$x'",
    ]  # fmt: skip
    assert remote(Path("/c"), "gw1", ["id"], "root")[-1] == "id"


@pytest.mark.parametrize(
    ("code", "said", "kind", "words"),
    [
        (255, "Host key verification failed.", Denied, "the host key of gw1 is not known"),
        (255, "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", Denied, "another"),
        (255, "ops@gw1: Permission denied (publickey).", Denied, "does not let us log in"),
        (255, "ssh: connect to host gw1 port 22: No route to host", Unavailable, "cannot be reached"),
        (1, "sudo: a password is required", Denied, "may not become root"),
        (127, "bash: line 1: python3: command not found", Missing, "no Python"),
        (1, "sudo: python3: command not found", Missing, "no Python"),
    ],
)
def test_what_ssh_says_instead_of_running_a_command_is_an_error(
    code: int, said: str, kind: type[Error], words: str
) -> None:
    error = refused("gw1", Result(code, "", said))
    assert type(error) is kind and words in error.message and "gw1" in error.message and error.resolution


@pytest.mark.parametrize(("code", "said"), [(0, ""), (1, "it failed"), (69, "sudo: no"), (127, "no such tool")])
def test_how_a_command_ended_is_no_error_of_the_way(code: int, said: str) -> None:
    assert refused("gw1", Result(code, "", said)) is None


@given(st.text())
def test_any_file_of_known_hosts_can_be_read(text: str) -> None:
    assert all(" " in key for key in parse(text).values())


def test_a_fingerprint_is_what_ssh_keygen_prints() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHhuBMFOCqaduqREVYi6fcy5wp26DA7rqsFvKX6GyKtf"
    assert fingerprint(key) == "SHA256:uJ91RPT4zPJ7CvXjM8DGoIvv/qwCE1zRgvQ54KAlqTo"
    assert parse(f"# c\ngw1 {key} c\n@revoked x y z\n") == {"gw1": key}
