"""The shape of an `engine` block of `targets/*.hcl`: a Docker engine that nodes can be made on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from common.hcl import Literal
from common.role import NOWHERE, Place
from common.schema import Inner, Setting, Shape
from common.system import Engine, Network, Node
from common.values import Wrong, as_text, did_you_mean, shown

SCHEMES = ("unix", "ssh", "tcp")
_URL_FIX = 'write "unix:///PATH", "ssh://USER@HOST:PORT" or "tcp://HOST:PORT"'
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}|[0-9a-fA-F:.]{2,45}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_SOCKET = re.compile(r"/[A-Za-z0-9._/-]{1,100}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")  # IFNAMSIZ of netdevice(7), without what a shell would read


def as_engine_url(literal: Literal) -> str:
    """Where an engine listens, as DOCKER_HOST is written. An `ssh://` URL may end with the path of its socket there."""
    text = as_text(literal)
    wrong = Wrong(f"{shown(literal)} is no address of a Docker engine", _URL_FIX)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in SCHEMES or parts.query or parts.fragment or parts.password is not None:
        raise wrong
    if parts.scheme == "unix":
        if parts.netloc or not _SOCKET.fullmatch(parts.path):
            raise wrong
        return text
    if not _HOST.fullmatch(parts.hostname or "") or port == 0:
        raise wrong
    if parts.scheme == "tcp" and (parts.username is not None or parts.path or port is None):
        raise wrong
    if parts.scheme == "ssh" and not (_USER.fullmatch(parts.username or "root") and _is_socket(parts.path)):
        raise wrong
    return text


def _is_socket(path: str) -> bool:
    return path in ("", "/") or _SOCKET.fullmatch(path) is not None


def as_interface(literal: Literal) -> str:
    """The name of a network interface (netdevice(7)); with a dot it may be a VLAN's, as in `eth1.30`."""
    text = as_text(literal)
    if not _INTERFACE.fullmatch(text):
        raise Wrong(f"{shown(literal)} is no name of an interface", "write it as `ip link` shows it, up to 15 letters")
    return text


@dataclass(frozen=True, slots=True)
class ParentDraft:
    """The interface of one network on one engine's machine."""

    network: str
    interface: str
    place: Place = NOWHERE


PARENT = Shape(
    name="parent",
    summary="The interface of a network on this engine's machine, where it is another than the network's own `parent`",
    make=ParentDraft,
    label="network",
    label_summary="name of a network of the target",
    settings=(Setting("interface", "name", as_interface, "As `ip link` shows it there", True),),
)


def _engine(
    name: str,
    place: Place,
    url: str,
    ca: str = "",
    cert: str = "",
    key: str = "",
    host_key: str = "",
    parents: tuple[ParentDraft, ...] = (),
) -> Engine:
    return Engine(name, url, ca, cert, key, host_key, tuple((each.network, each.interface) for each in parents), place)


def _faults(engine: Engine) -> Iterator[Wrong]:
    pair = (engine.ca, engine.cert, engine.key)
    is_tcp = engine.url.startswith("tcp:")
    if is_tcp and not all(pair):
        fix = "add ca, cert and key: without them anybody who reaches the port is root there"
        yield Wrong("an engine at a port needs TLS", fix, "url")
    if not is_tcp and any(pair):
        yield Wrong("ca, cert and key are of an engine at a port", 'leave them out, or write url = "tcp://HOST:2376"')
    if engine.host_key and not engine.url.startswith("ssh:"):
        yield Wrong("only an engine that is reached by SSH has a host key", "leave it out", "host_key")


def engine_shape(host_key: Setting) -> Shape[Engine]:
    """The shape; `host_key` is as nodes have it."""
    return Shape(
        name="engine",
        summary="A Docker engine beside the one of DOCKER_HOST; nodes name it",
        make=_engine,
        label="name",
        label_summary="what nodes call it",
        settings=(
            Setting("url", "url", as_engine_url, "`unix:///PATH`, `ssh://USER@HOST:PORT` or `tcp://HOST:PORT`", True),
            Setting("ca", "path", as_text, "Certificate that signed the engine's; of `tcp`"),
            Setting("cert", "path", as_text, "Our certificate, which the engine checks; of `tcp`"),
            Setting("key", "path", as_text, "Its key, for you alone; of `tcp`"),
            host_key,
        ),
        inner=(Inner(PARENT, "parents"),),
        faults=_faults,
    )


def engine_faults(nodes: Iterable[Node], networks: Iterable[Network], engines: Iterable[Engine]) -> Iterator[Wrong]:
    """What nodes say of engines that cannot be: names that nobody has, and networks that cannot reach so far."""
    there = {engine.name: engine for engine in engines}
    spread: dict[str, set[str]] = {}
    for node in nodes:
        where = f'node "{node.name}"'
        if node.engine and node.kind != "container":
            yield Wrong(f"{where} is no container and has an engine", "leave engine out")
        elif node.engine and node.engine not in there:
            yield Wrong(f'{where}: unknown engine "{node.engine}"', did_you_mean(node.engine, there, "engines"))
        for network in node.networks if node.kind == "container" else ():
            spread.setdefault(network, set()).add(node.engine)
    known = {network.name: network for network in networks}
    for engine in there.values():
        for name, _ in engine.parents:
            if name not in known:
                hint = did_you_mean(name, known, "networks of the target")
                yield Wrong(f'engine "{engine.name}": unknown network "{name}"', hint)
    for name, on in spread.items():
        if len(on) > 1 and name in known and not known[name].parent:
            shown_names = " and ".join(f'"{each}"' if each else "that of DOCKER_HOST" for each in sorted(on))
            fix = "add parent, the interface by which the engines' machines reach each other"
            yield Wrong(f'network "{name}" is on the engines {shown_names}', fix)
