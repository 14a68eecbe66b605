"""What the history keeps besides runs: definitions, configurations, states; nothing secret, nothing that misleads."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt, Error
from common.model import Secret
from common.system import Deployment
from seter.definition import LINK, Text, lay_out, pack, packed, read_definition, unpack, unpacked
from seter.history import configuration, masked, number_of
from seter.keep import open_keep
from seter.record import last
from seter.recorded import read_states, write_states
from seter.state import NodeState, Observed, Place, RoleState, Subnets
from seter.tree import File

SMALL = Path("tests/integration/small")
OBSERVED = Observed(
    {"front": Subnets("10.213.0.0/24", "fd00::/64")},
    {"w1": NodeState("s", "f", "x", (("web", RoleState("a", "f", "p", "s", False)),), True, "life", (("web", "m"),))},
    {"w1": Place("servers", 1, 2)},
)


def test_a_definition_comes_out_as_it_went_in(tmp_path: Path) -> None:
    read = read_definition(SMALL, "small")
    assert {"small/system.hcl", "small/targets/container.hcl", "roles/web/tasks/configure.yml"} <= set(read)
    lay_out(unpack(pack(read), "it"), tmp_path)
    assert read_definition(tmp_path, "small") == read


def test_a_link_to_what_is_no_file_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """A base masks units of systemd so."""
    (tmp_path / "one/small").mkdir(parents=True)
    (tmp_path / "one/small/system.hcl").touch()
    (tmp_path / "one/bases/host").mkdir(parents=True)
    (tmp_path / "one/bases/host/masked.service").symlink_to("/dev/null")
    read = unpack(pack(read_definition(tmp_path / "one", "small")), "it")
    (tmp_path / "two").mkdir()
    lay_out(read, tmp_path / "two")
    assert (tmp_path / "two/bases/host/masked.service").readlink() == Path("/dev/null")
    assert read_definition(tmp_path / "two", "small") == read


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(Corrupt):
        lay_out({"a": Text(LINK, b".."), "a/b": Text(0o644, b"outside")}, tmp_path / "in")
    assert not (tmp_path / "b").exists()


def test_the_same_definition_has_the_same_bytes_and_what_is_no_text_is_kept_too() -> None:
    definition = {"a/b": Text(0o755, b"\xff\x00"), "a/c": Text(0o644, "ü".encode())}
    assert pack(definition) == pack(dict(reversed(definition.items())))
    assert unpack(pack(definition), "it") == definition


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "a//b", "./a", "a\0b", ".."])
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(Corrupt):
        unpack(packed({"format": 1, "files": {path: [0o644, "x"]}}), "it")


@given(st.binary() | st.builds(gzip.compress, st.binary()))
def test_what_is_no_definition_is_refused(data: bytes) -> None:
    for read in (unpack, read_states, unpacked):
        with pytest.raises(Corrupt):
            read(data, "it")


_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(_JSON, _JSON, _JSON)
def test_what_is_damaged_inside_is_refused_or_read(networks: object, nodes: object, places: object) -> None:
    data = gzip.compress(json.dumps({"format": 1, "networks": networks, "nodes": nodes, "places": places}).encode())
    try:
        assert isinstance(read_states(data, "it")[0], Observed)
    except Corrupt as error:
        assert "it" in error.message
    with pytest.raises(Corrupt):
        unpack(data, "it")


def test_what_a_newer_version_wrote_is_refused_in_these_words() -> None:
    with pytest.raises(Corrupt, match="newer"):
        unpack(packed({"format": 99}), "it")


def test_states_come_out_as_they_went_in() -> None:
    inputs = {("w1", "web"): "d"}
    assert read_states(write_states(OBSERVED, inputs), "it") == (OBSERVED, inputs)


def test_a_secret_that_got_into_a_file_is_masked() -> None:
    """SE-04."""
    data = configuration(
        {"w1": {"web": (File("x", b"password canary-value!\n"),)}}, [Secret("canary-value"), Secret("1")]
    )
    assert json.loads(gzip.decompress(data))["nodes"] == {"w1": {"web": {"x": [0o644, 0, "password ***!\n"]}}}
    assert masked("canary-value twice canary-value", ["canary-value"]) == "*** twice ***"


def test_a_run_is_named_by_its_number() -> None:
    assert number_of("12") == 12
    with pytest.raises(BadInput, match="no run"):
        number_of("--help")


@pytest.mark.parametrize("name", ["../x", "", "Main", "-a", "a/b", "a" * 41, "a_b"])
def test_a_name_that_cannot_be_one_of_containers_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        open_keep(Deployment("s3-lb", "container", name))


def test_state_is_where_the_option_says_else_the_variable_else_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    deployment = Deployment("s", "t", "i")
    monkeypatch.delenv("SETER_STATE", raising=False)
    assert open_keep(deployment).folder == tmp_path / ".seter/s/t/i"
    monkeypatch.setenv("SETER_STATE", "elsewhere")
    assert open_keep(deployment).folder == tmp_path / "elsewhere/s/t/i"
    shared = open_keep(deployment, "s3://bucket/state")
    assert shared.is_shared
    assert (str(shared), shared.folder) == ("s3://bucket/state", Path(".seter/s/t/i"))


def test_the_record_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    keep = open_keep(Deployment("s", "t", "i"), str(tmp_path))
    assert last(keep) == {}
    keep.folder.mkdir(parents=True)
    (keep.folder / "record.json").write_text('{"result": "failed: x"}')
    assert last(keep)["result"] == "failed: x"
    (keep.folder / "record.json").write_text("{")
    with pytest.raises(Error, match="cannot be read"):
        last(keep)
