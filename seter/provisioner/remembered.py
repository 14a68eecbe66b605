"""What parts a deployment has, by its definitions and by what an earlier run left in its folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from common.errors import Corrupt
from common.files import write_atomically
from common.system import Engine, Node, Target
from seter.state import Observed, Place

FILE = "parts.json"
FORMAT = 1
DEFAULT = "container"  # the part that nodes without an engine are in
ON = " on "  # between kind and engine in the name of a part


@dataclass(frozen=True, slots=True)
class Part:
    """One kind, on one engine if it has some. `target` is what of the target is of this part, None for one that only an
    earlier run knew. `only_maybe`: nobody knows whether anything of ours is there."""

    kind: str
    engine: Engine | None = None
    target: Target | None = None
    nodes: tuple[str, ...] = ()
    networks: frozenset[str] = frozenset()
    only_maybe: bool = False


def name_of(kind: str, engine: str) -> str:
    """What the part of this kind on this engine is called."""
    return f"{kind}{ON}{engine}" if engine else kind


def is_divided(target: Target) -> bool:
    """Its nodes are of several kinds, or on engines that it names."""
    return len(target.kinds) > 1 or any(node.engine for node in target.managed)


def parts_of(target: Target) -> dict[str, Part]:
    """The parts of a target, by name. Pure."""
    engines = {engine.name: engine for engine in target.engines}
    found: dict[str, list[Node]] = {}
    for node in target.managed:
        found.setdefault(name_of(target.kind_of(node), node.engine), []).append(node)
    return {name: _part(target, nodes, engines.get(nodes[0].engine)) for name, nodes in found.items()}


def _part(target: Target, nodes: Iterable[Node], engine: Engine | None) -> Part:
    mine = tuple(nodes)
    kind = target.kind_of(mine[0])
    on = frozenset(network for node in mine for network in node.networks)
    narrow = replace(target, kind=kind, nodes=mine, engines=(engine,) if engine is not None else ())
    return Part(kind, engine, narrow, tuple(node.name for node in mine), on if kind != "baremetal" else frozenset())


class Remembered:
    """In the deployment's folder. Any number of threads may use it."""

    def __init__(self, folder: Path) -> None:
        self._file, self._lock = folder / FILE, threading.Lock()

    @property
    def is_there(self) -> bool:
        """An earlier run left something."""
        return self._file.is_file()

    def _read(self) -> dict[str, Any]:
        """Raises Corrupt for what was not written by us."""
        if not self.is_there:
            return {"format": FORMAT, "parts": {}, "nodes": {}}
        try:
            said = json.loads(self._file.read_text(encoding="utf-8"))
            if said["format"] == FORMAT and isinstance(said["parts"], dict) and isinstance(said["nodes"], dict):
                return dict(said)
        except (ValueError, KeyError, TypeError):
            pass
        raise Corrupt(
            f"{self._file} cannot be read",
            resolution="Remove it; the next run with the definitions writes it anew. Until then nothing is known of "
            "engines that they do not name any more.",
        )

    def _write(self, said: Mapping[str, Any]) -> None:
        write_atomically(self._file, json.dumps(said, indent=2) + "\n")

    def with_earlier(self, parts: Mapping[str, Part]) -> dict[str, Part]:
        """These, and those that an earlier run knew. One that ran on the default engine alone wrote nothing."""
        found = dict(parts)
        for name, said in self._read()["parts"].items():
            engine = _engine(said["engine"]) if said["engine"] else None
            found.setdefault(name, Part(said["kind"], engine, _bare(said["kind"], engine, said.get("way", {}))))
        if not self.is_there and any(part.kind == DEFAULT for part in parts.values()):
            found.setdefault(DEFAULT, Part(DEFAULT, None, None, only_maybe=True))
        return found

    def keep(self, parts: Mapping[str, Part], seen: Mapping[str, Observed]) -> None:
        """These parts are there, with the places of what was seen in them. One that no definition names is forgotten
        when it answers and nothing is there."""
        empty = {name for name, said in seen.items() if not (said.places or said.networks or said.unreachable)}
        kept = {name: part for name, part in parts.items() if part.nodes or name not in empty}
        with self._lock:
            before = self._read()
            nodes = {node: said for node, said in before["nodes"].items() if said["part"] in kept}
            for name, said in seen.items():
                nodes |= {node: _place(name, place) for node, place in said.places.items()}
            after = {"format": FORMAT, "parts": {name: _said(part) for name, part in kept.items()}, "nodes": nodes}
            if after != before:
                self._write(after)

    def place(self, node: str, part: str, place: Place) -> None:
        """The node is about to be made there."""
        with self._lock:
            said = self._read()
            said["nodes"][node] = _place(part, place)
            self._write(said)

    def forget(self, node: str) -> None:
        """Twice is once."""
        with self._lock:
            said = self._read()
            if said["nodes"].pop(node, None) is not None:
                self._write(said)

    def drop(self, parts: Collection[str]) -> None:
        """Nothing is there any more; with the last one all goes."""
        with self._lock:
            said = self._read()
            left = {name: each for name, each in said["parts"].items() if name not in parts}
            nodes = {node: each for node, each in said["nodes"].items() if each["part"] in left}
            if left:
                self._write({"format": FORMAT, "parts": left, "nodes": nodes})
            else:
                self._file.unlink(missing_ok=True)

    def nodes(self) -> dict[str, str]:
        """Node → its part."""
        return {node: str(said["part"]) for node, said in self._read()["nodes"].items()}

    def places(self) -> dict[str, Place]:
        """Node → its place."""
        return {node: Place(*said["place"]) for node, said in self._read()["nodes"].items()}


def _place(part: str, place: Place) -> dict[str, object]:
    return {"part": part, "place": [place.group, place.index, place.number]}


def _said(part: Part) -> dict[str, object]:
    if part.engine is None:
        return {"kind": part.kind, "engine": None}
    engine = asdict(part.engine)
    del engine["place"]
    way = {"jump": part.target.jump, "identity_file": part.target.identity_file} if part.target is not None else {}
    return {"kind": part.kind, "engine": engine | {"parents": [list(pair) for pair in part.engine.parents]}, "way": way}


def _engine(said: Mapping[str, Any]) -> Engine:
    return Engine(**{**said, "parents": tuple((str(name), str(interface)) for name, interface in said["parents"])})


def _bare(kind: str, engine: Engine | None, way: Mapping[str, str]) -> Target | None:
    """A target without nodes, for a part that no definition names, reached as it was. Hosts are known from what was
    written about them."""
    if kind != DEFAULT or engine is None:
        return None
    jump, identity_file = way.get("jump", ""), way.get("identity_file", "")
    return Target("remembered", kind, (), Path(), jump=jump, identity_file=identity_file, engines=(engine,))
