"""How a registry is told who we are: Basic, or a token for each scope from the server that the registry names.

RFC 9110, section 11.6.1 (WWW-Authenticate); Docker's token authentication specification (`realm`, `service`, `scope`).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from common.errors import Corrupt, Denied
from common.model import Secret
from naust.store.access import Access
from naust.wire.credentials import Login, login
from naust.wire.transport import Answer, Origin, Transport, basic, bearer, shown

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_ITEM = re.compile(rf'\s*(?:({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|({_TOKEN}))\s*,?')
_LONGEST_HEADER = 8192
_SHORTEST_LIFE = 60.0  # seconds; of a token that does not say how long it lives
_EARLY = 10.0  # seconds before its end that a token is no longer used


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in which a server wants to be told who we are. `scheme` and names of parameters are in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def challenges(header: str) -> tuple[Challenge, ...]:
    """What a WWW-Authenticate header asks for; nothing if it makes no sense."""
    found: list[tuple[str, dict[str, str]]] = []
    for item in _ITEM.finditer(header[:_LONGEST_HEADER]):
        name, quoted, plain, scheme = item.groups()
        if scheme:
            found.append((scheme.lower(), {}))
        elif found:
            found[-1][1][name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return tuple(Challenge(*each) for each in found)


class Authorization:
    """Credentials for one registry, kept as long as they live. Any number of threads may ask."""

    def __init__(self, transport: Transport, base: str, access: Access) -> None:
        self._transport, self._base, self._access = transport, base, access
        self._tokens: dict[str, tuple[Secret, float]] = {}  # scope → credential, time.monotonic() of its end
        self._basic: Secret | None = None
        self._login: Login | None = None
        self._asked = False
        self._lock = threading.Lock()

    def credential(self, scope: str) -> Secret | None:
        """What to send before the registry has asked for anything."""
        if self._access.token:
            return bearer(self._access.token)
        token, end = self._tokens.get(scope, (None, 0.0))
        return token if token and time.monotonic() < end else self._basic

    def answer_to(self, answer: Answer, scope: str, sent: Secret | None) -> Secret | None:
        """What to send after the registry said 401; None if there is nothing that it has not refused already.

        Raises Denied, Unavailable and so on, as the token server does.
        """
        if self._access.token or Origin.of(answer.url) != Origin.of(self._base):
            return None
        with self._lock:
            known = self.credential(scope)
            if known is not None and (sent is None or known.value != sent.value):
                return known  # another thread was faster
            for challenge in challenges(answer.header("WWW-Authenticate")):
                if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                    return self._token(challenge, scope)
                if challenge.scheme == "basic":
                    return self._as_user(sent)
        return None

    def _who(self) -> Login | None:
        if not self._asked:
            parts = urlsplit(self._base)
            self._login, self._asked = login(parts.netloc, self._access), True
        return self._login

    def _as_user(self, sent: Secret | None) -> Secret | None:
        who = self._who()
        if who is None or not who.user:
            return None
        self._basic = basic(who.user, who.secret)
        return None if sent and sent.value == self._basic.value else self._basic

    def _token(self, challenge: Challenge, scope: str) -> Secret:
        realm = challenge.parameters["realm"]
        if urlsplit(self._base).scheme == "https" and urlsplit(realm).scheme != "https":
            raise Denied(
                f"{self._base} wants our password to be sent to {shown(realm)}, which is not encrypted",
                resolution="Nothing was sent there. Tell whoever runs the registry.",
            )
        wanted = [("service", challenge.parameters["service"])] if "service" in challenge.parameters else []
        scopes = scope.split() or challenge.parameters.get("scope", "").split()
        document = self._fetched(realm, wanted, scopes)
        text = document.get("token") or document.get("access_token")
        if not isinstance(text, str) or not text or not text.isprintable():
            raise Corrupt(f"{shown(realm)} gives no token", resolution="Tell whoever runs the registry.")
        token, life = bearer(Secret(text)), document.get("expires_in")
        seconds = float(life) if isinstance(life, int | float) and life > 0 else _SHORTEST_LIFE
        self._tokens[scope] = (token, time.monotonic() + max(seconds - _EARLY, seconds / 2))
        return token

    def _fetched(self, realm: str, wanted: list[tuple[str, str]], scopes: list[str]) -> Mapping[str, object]:
        who = self._who()
        if who is not None and not who.user:
            # An identity token is changed for an access token by OAuth 2 (RFC 6749, section 6).
            form = [("grant_type", "refresh_token"), ("refresh_token", who.secret.value), ("client_id", "naust")]
            body = urlencode([*form, *wanted, ("scope", " ".join(scopes))]).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            with self._transport.request("POST", realm, headers=kind, body=body) as answer:
                found = answer.json(1 << 20)
        else:
            query = urlencode([*wanted, *(("scope", each) for each in scopes)])
            url = f"{realm}{'&' if urlsplit(realm).query else '?'}{query}"
            credential = basic(who.user, who.secret) if who else None
            with self._transport.request("GET", url, credential=credential) as answer:
                found = answer.json(1 << 20)
        return found if isinstance(found, dict) else {}
