"""What is kept of virtual machines, the server that Terraform writes to, and what machines are told."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Conflict, Corrupt, Error
from common.system import Deployment, Machine
from seter.keep import Keep
from seter.keep.interface import MACHINES
from seter.provisioner import emulate, seeds, units
from seter.provisioner.machines import Book, Machines, Unit, make_pair, parse, with_unit, written
from seter.provisioner.modules import Wish
from seter.provisioner.qemu import Qemu
from seter.provisioner.states import States, served
from seter.state import Subnets

DEPLOYMENT = Deployment("lb", "virtual", "t")
NETS = Subnets("10.20.0.0/24", "fd00:20::/64")


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keep:
    monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "identity"))
    return Keep(DEPLOYMENT, str(tmp_path / "state"))


def ask(address: str, method: str, data: bytes = b"", user: str = "seter", password: str = "") -> tuple[int, bytes]:
    request = urllib.request.Request(address, data=data or None, method=method)
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


@contextmanager
def door(keep: Keep) -> Iterator[tuple[States, str, str]]:
    states = States(Machines(keep), "node-gw1")
    with served(states) as environment:
        yield states, environment["TF_HTTP_ADDRESS"], environment["TF_HTTP_PASSWORD"]


def leased() -> None:
    """A check of a lease that is still there."""


def test_a_state_that_was_written_is_read_again_and_lies_encrypted(keep: Keep) -> None:
    state = json.dumps({"serial": 1, "outputs": "canary"}).encode()
    with keep.fenced(leased), door(keep) as (_, address, password):
        assert ask(address, "GET", password=password) == (204, b"")
        assert ask(f"{address}?ID=1", "POST", state, password=password)[0] == 200
        assert ask(address, "GET", password=password) == (200, state)
    stored = keep.cells.read(MACHINES).data
    assert stored.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----") and b"canary" not in stored


def test_without_the_lease_nothing_is_written_and_it_is_said(keep: Keep) -> None:
    def lost() -> None:
        raise Conflict("this run has lost its lease to bob", resolution="Look.")

    with door(keep) as (states, address, password):
        assert ask(address, "POST", b"{}", password=password)[0] == 409
        with keep.fenced(lost):
            code, said = ask(address, "POST", b"{}", password=password)
        assert (code, said) == (409, b"this run has lost its lease to bob")
        assert states.refused is not None and "bob" in states.refused.message
    assert keep.cells.read(MACHINES).data == b""


def test_only_who_knows_the_password_is_answered(keep: Keep) -> None:
    with keep.fenced(leased), door(keep) as (_, address, password):
        assert ask(address, "GET")[0] == 401
        assert ask(address, "POST", b"{}", password=password[:-1])[0] == 401
        assert ask(address + "/other", "GET", password=password)[0] == 404
        assert ask(address, "POST", b"no state", password=password)[0] == 400


def test_one_at_a_time_has_the_lock(keep: Keep) -> None:
    with door(keep) as (_, address, password):
        assert ask(address, "LOCK", b'{"ID":"a"}', password=password)[0] == 200
        assert ask(address, "LOCK", b'{"ID":"b"}', password=password) == (423, b'{"ID":"a"}')
        assert ask(address, "UNLOCK", b'{"ID":"a"}', password=password)[0] == 200
        assert ask(address, "LOCK", b'{"ID":"b"}', password=password)[0] == 200


def test_a_book_is_what_was_written() -> None:
    pair = make_pair()
    book = Book(pair, {"gw1": pair}, {"gw1": {"number": 3}}, {"node-gw1": Unit({"a": [1]}, '{"serial":1}')})
    assert parse(written(book), "it") == book


@given(st.binary(max_size=200))
def test_damaged_books_are_refused_with_one_clear_error(data: bytes) -> None:
    with pytest.raises(Error):
        parse(data, "it")


def test_two_who_write_different_entries_both_get_through(keep: Keep) -> None:
    ours, other = Machines(keep), Machines(Keep(DEPLOYMENT, keep.state))
    with keep.fenced(leased), other._keep.fenced(leased):
        first = True

        def slowly(book: Book) -> Book:
            nonlocal first
            if first:
                first = False
                other.change(lambda theirs: with_unit(theirs, "b", {"by": "other"}))
            return with_unit(book, "a", {"by": "us"})

        ours.change(slowly)
    assert set(ours.read().units) == {"a", "b"}


@pytest.mark.parametrize(
    ("left", "there", "taken"),
    [
        ({"lineage": "l", "serial": 2}, None, True),
        ({"lineage": "l", "serial": 2}, {"lineage": "l", "serial": 1}, True),
        ({"lineage": "l", "serial": 2}, {"lineage": "l", "serial": 2}, False),
        ({"lineage": "l", "serial": 2}, {"lineage": "other", "serial": 1}, False),
    ],
)
def test_a_state_that_was_left_is_taken_if_it_follows(left: object, there: object, taken: bool) -> None:
    assert units.newer(json.dumps(left), json.dumps(there) if there else "") is taken


@pytest.mark.parametrize("left", ["", "[]", "{}", '{"lineage": 1, "serial": "x"}'])
def test_a_state_that_was_left_and_is_none_is_told(left: str) -> None:
    with pytest.raises(Corrupt):
        units.newer(left, '{"lineage": 1, "serial": 1}')


def wish(folder: Path, memory: int = 512) -> Wish:
    cards = [seeds.card(DEPLOYMENT, "gw1", ("fabric", "10.20.0.3", "fd00:20::3"), NETS)]
    told = seeds.credentials("gw1", "ssh-ed25519 AAAA", make_pair(), cards)
    return Wish(
        "gw1", "gateways", Machine("qemu", memory=memory << 20), "vm/lb.gw@sha256:1", folder / "base.qcow2", cards, told
    )


def test_a_machine_is_told_its_addresses_by_the_card_that_has_them() -> None:
    (card,) = wish(Path("/x")).cards
    text = seeds.network_file(card, first=True)
    assert f"MACAddress={card.mac}\n" in text and card.mac.startswith("52:54:00:")
    assert "Address=10.20.0.3/24\nAddress=fd00:20::3/64\n" in text and "Gateway=10.20.0.254\n" in text
    assert "Gateway" not in seeds.network_file(card, first=False)


def test_no_secret_is_in_the_command_or_in_what_terraform_is_given(tmp_path: Path) -> None:
    asked, qemu = wish(tmp_path), Qemu(DEPLOYMENT, tmp_path)
    made = qemu.node(asked)
    shown = json.dumps([qemu.config(made), emulate.argv(made)])
    assert all(base64.b64encode(value.encode()).decode() not in shown for value in asked.told.values())
    qemu.prepare(asked)
    files = [Path(name) for name in made["seed"]]
    assert len(files) == len(asked.told) and all(file.stat().st_mode & 0o777 == 0o600 for file in files)


def test_more_memory_makes_the_machine_anew_and_not_its_disks(tmp_path: Path) -> None:
    def triggers(memory: int) -> dict[str, object]:
        qemu, asked = Qemu(DEPLOYMENT, tmp_path), wish(tmp_path, memory)
        made = qemu.config(qemu.node(asked))["resource"]["terraform_data"]
        return {name: each["triggers_replace"] for name, each in made.items()}

    less, more = triggers(512), triggers(1024)
    assert less["disk"] == more["disk"] and less["state"] == more["state"]
    assert less["machine"] != more["machine"]


def test_names_of_interfaces_are_short_enough(tmp_path: Path) -> None:
    qemu = Qemu(Deployment("s" * 40, "t" * 40, "i" * 40), tmp_path)
    names = [
        qemu.network("n" * 40, NETS, Machine("qemu"))["bridge"],
        *(card["tap"] for card in qemu.node(wish(tmp_path))["cards"]),
    ]
    assert all(len(name) <= 15 for name in names)
