"""What all agents share, in etcd: who leads, the account, the order under way, tokens, and the certificate.

Below `seter/acme/`: `leader` and `agent/NODE` (bound to leases), `account`, `order`, `state` (JSON) and `token/TOKEN`.
The certificate lies over Traefik's tree, where the guards watch (traefik_etcd.OVER). Only who leads writes, and each
write says so to etcd: one that was cut off and believes that it still leads changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from etcd_lead import Calls
from traefik_etcd import OVER, ROOT, b64, below, values

BASE = "seter/acme/"
LEADER, TOKENS, AGENTS = BASE + "leader", BASE + "token/", BASE + "agent/"
PLACE = "tls/certificates/00/"  # where the rendered tree has the certificate of the deployment's CA
CERTIFICATE, KEY = PLACE + "certFile", PLACE + "keyFile"
# A challenge may arrive at any gateway, and any agent knows the answer: one that does not run is passed over.
ROUTE = {
    "http/routers/acme/rule": "PathPrefix(`/.well-known/acme-challenge/`)",
    "http/routers/acme/entryPoints/00": "http",
    "http/routers/acme/middlewares/00": "acme",
    "http/routers/acme/service": "acme",
    "http/middlewares/acme/retry/attempts": "4",
    "http/middlewares/acme/retry/initialInterval": "50ms",
    "http/services/acme/loadBalancer/serversTransport": "acme",
    "http/serversTransports/acme/forwardingTimeouts/dialTimeout": "500ms",
}


@dataclass(frozen=True, slots=True)
class Account:
    """With one server. `key` is a JSON web key, private; `url` is "" until the server knows it."""

    directory: str
    key: str = field(repr=False)
    url: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """One that was begun; whoever leads goes on with it. `key` is the certificate's, PEM."""

    directory: str
    url: str
    names: tuple[str, ...]
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class State:
    """What came of it so far. Unix times, 0 for never."""

    orders: int = 0  # that servers were asked for
    failures: int = 0  # in a row
    next_try: float = 0.0  # nothing is done before
    next_order: float = 0.0  # no order is begun before
    last_error: str = ""
    last_error_at: float = 0.0
    last_success_at: float = 0.0
    directory: str = ""  # that the certificate is from
    window: Mapping[str, Any] = field(default_factory=dict)  # acme_policy.Window


@dataclass(frozen=True, slots=True)
class Seen:
    """All of it at one moment. `over` is what lies over the tree, `plain` the certificate in the tree."""

    leader: str
    account: Account | None
    order: Order | None
    state: State
    over: Mapping[str, str] = field(repr=False)
    plain: str
    agents: Mapping[str, str] = field(default_factory=dict)  # node → what it was told of the server, as a digest


T = TypeVar("T", Account, Order, State)


def record(kind: type[T], text: str | None) -> T | None:
    """A record from its JSON, None when there is none or it is of another kind than ours."""
    try:
        found = json.loads(text or "null")
        if isinstance(found.get("names"), list):
            found["names"] = tuple(found["names"])
        return kind(**found)
    except (AttributeError, TypeError, ValueError):
        return None


def plain(one: Account | Order | State) -> str:
    """The JSON of a record."""
    return json.dumps({name: getattr(one, name) for name in one.__dataclass_fields__})


READ = {"success": [{"request_range": below(BASE)}, {"request_range": below(OVER)}]}
READ["success"].append({"request_range": {"key": b64(ROOT + CERTIFICATE)}})


def seen_in(answer: Mapping[str, Any]) -> Seen:
    """What is there, from the answer to READ. Raises KeyError, ValueError for one that is none."""
    own, over, tree = (part.get("response_range", {}).get("kvs", []) for part in answer["responses"])
    found = values(own, BASE)
    state = record(State, found.get("state")) or State()
    account, order = record(Account, found.get("account")), record(Order, found.get("order"))
    agents = {key.removeprefix("agent/"): text for key, text in found.items() if key.startswith("agent/")}
    certificate = "".join(values(tree, "").values())
    return Seen(found.get("leader", ""), account, order, state, values(over, OVER), certificate, agents)


def over(certificate: str, key: str) -> dict[str, str]:
    """Certificate and key where the guards look for them; they go there in one transaction."""
    return {OVER + CERTIFICATE: certificate, OVER + KEY: key}


def route(port: int, members: Sequence[str]) -> dict[str, str]:
    """Keys and values that bring challenges to the agents, which listen on this port of the members' addresses."""
    servers = OVER + "http/services/acme/loadBalancer/servers/"
    urls = {f"{servers}{place:02}/url": f"http://{address}:{port}" for place, address in enumerate(members)}
    return {OVER + key: value for key, value in ROUTE.items()} | urls


def tokens(etcd: Calls) -> dict[str, str]:
    """Token → answer, of the order under way. Raises Failed."""
    answer = etcd.call({"success": [{"request_range": below(TOKENS)}]})
    return values(answer["responses"][0].get("response_range", {}).get("kvs", []), TOKENS)


def clear(etcd: Calls) -> bool:
    """Take away what lies over the tree, whoever leads: the deployment's own certificate holds again. Whether there was
    anything. Raises Failed."""
    answer = etcd.call({"success": [{"request_delete_range": below(OVER)}]})
    return int(answer["responses"][0].get("response_delete_range", {}).get("deleted", 0)) > 0
