"""Nodes that programs give: whatever they print is read as blocks, or refused in one sentence that says where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.catalog import Catalog
from common.errors import BadDefinition, BadInput
from common.given_nodes import blocks_of
from common.hcl import Block
from common.system import Source
from common.values import Wrong

if TYPE_CHECKING:
    from tests.unit.common.conftest import Definitions

FILE = "lab/targets/metal.hcl"
METAL = """\
target "metal" {
  kind = "baremetal"
  network "rack" { prefix = "10.20.0.0/24" }
  nodes_from "edge" {
    command = ["inventory", "edge"]
  }
}
"""
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
NODE = {"name": "n1", "address": "10.20.0.11", "parameters": {"router_id": "10.0.0.1"}}


@given(ANYTHING)
def test_any_json_is_read_or_refused(value: object) -> None:
    check(json.dumps(value))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    check(text)


@given(st.lists(st.dictionaries(st.sampled_from(["name", "address", "networks", "parameters", "x"]), ANYTHING)))
def test_anything_like_a_node_is_read_or_refused(value: list[dict[str, Any]]) -> None:
    check(json.dumps(value))


def check(text: str) -> None:
    try:
        blocks = blocks_of(text, "it")
    except Wrong as wrong:
        assert wrong.message and wrong.fix
        return
    assert all(
        block.type == "node" and len(block.labels) == 1 and block.file.startswith("it: node ") for block in blocks
    )


@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_what_is_nested_too_deeply_is_refused(depth: int) -> None:
    with pytest.raises(Wrong, match="no JSON"):
        blocks_of("[" * depth, "it")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "it: node 1 is a number, not an object"),
        ("null", "it is null, not a list of nodes"),
        ('[{"name": "a"}, {}]', "it: node 2 has no name"),
        ('[{"name": "a", "name": "b"}]', "'name' stands twice"),
        ('[{"name": "a", "port": NaN}]', "NaN is no number"),
        ('[{"name": "a", "address": {"v4": 1}}]', "it: node 1: address is an object"),
        ('{"a": {"name": "b"}}', "'a' has another name inside, 'b'"),
        ('[{"name": "a", "Bad Name": 1}]', "'Bad Name' is no name of an attribute"),
        ("no json", "it is no JSON"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(Wrong) as wrong:
        blocks_of(text, "it")
    assert message in wrong.value.message and wrong.value.fix


def test_terraform_s_output_is_found_by_its_name() -> None:
    said = {
        "gateways": {"sensitive": False, "type": ["list"], "value": {"n1": {"address": "10.20.0.11", "port": None}}}
    }
    (block,) = blocks_of(json.dumps(said), "it", "gateways")
    assert block.labels == ("n1",) and [each.name for each in block.attributes] == ["address"]
    with pytest.raises(Wrong, match="there is no output 'nodes'; there are: gateways"):
        blocks_of(json.dumps(said), "it", "nodes")


def read(definitions: Definitions, said: object) -> Any:
    def answer(source: Source) -> Sequence[Block]:
        assert (source.group, source.command) == ("edge", ("inventory", "edge"))
        if isinstance(said, str):
            raise BadInput(said, resolution="Mend it.")
        return blocks_of(json.dumps(said), "nodes_from edge")

    definitions.write(FILE, METAL)
    return Catalog(definitions.catalog.folder, answer).target("lab", "metal")


def test_nodes_that_are_given_are_as_if_they_were_written(definitions: Definitions) -> None:
    other = {"name": "n2", "address": "10.20.0.12", "parameters": {"router_id": "10.0.0.2"}}
    node, _ = read(definitions, [NODE, other]).nodes
    assert (node.name, node.group, node.kind, node.address) == ("n1", "edge", "baremetal", "10.20.0.11")
    assert node.parameters == (("router_id", "10.0.0.1"),)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([NODE | {"adress": "10.20.0.1"}], "nodes_from edge: node 1: unknown attribute adress"),
        ([NODE | {"address": "10.21.0.1"}], "10.21.0.1 is in none of the networks"),
        ([{"name": "n1"}], "has no address"),
        ([NODE, NODE], "is called as node"),
        ([], 'group "edge" has 0 nodes'),
        ("inventory ended with status 1", "lab/targets/metal.hcl:4: inventory ended with status 1; mend it."),
    ],
)
def test_what_they_must_not_say_is_told_as_of_any_definition(
    definitions: Definitions, said: object, message: str
) -> None:
    with pytest.raises(BadDefinition) as error:
        read(definitions, said)
    assert message in error.value.details


def test_reading_definitions_runs_nothing(definitions: Definitions) -> None:
    definitions.write(FILE, METAL)
    found = definitions.problems(lambda catalog: catalog.target("lab", "metal"))
    assert any("nodes_from edge is not asked here" in line for line in found)
