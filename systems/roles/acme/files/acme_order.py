"""Speaks to an ACME server (RFC 8555), by Debian's python3-acme. An order is worked on from wherever it stands, so that
another node can go on with it."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import acme.errors
import acme.messages
import josepy
import requests
from acme import challenges
from acme.client import ClientNetwork, ClientV2
from acme_policy import Window, request_for
from acme_store import Account, Order
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

TIMEOUT = 20  # seconds for one answer
NONCES = 10  # tries with a new nonce each (RFC 8555, section 6.5): servers may refuse good ones
PATIENCE = 300.0  # seconds for one phase of an order
BRIEF, LONG = 1.0, 30.0  # seconds between two looks, unless the server names some between them
ASK_LEAST, ASK_MOST = 60.0, 86400.0  # seconds between two questions when to renew (RFC 9773, section 4.3.3)
GONE = ("malformed", "unauthorized", "accountDoesNotExist", "badCSR", "rejectedIdentifier")

T = TypeVar("T")


class Refused(Exception):
    """The server did not do it. `void`: the order is of no use any more; `stranger`: it does not know the account;
    `after`: seconds that it asked us to wait."""

    def __init__(self, reason: str, *, void: bool = False, stranger: bool = False, after: float = 0.0) -> None:
        super().__init__(reason)
        self.void, self.stranger, self.after = void, stranger, after


class NewOrder:
    """A request for an order. The library's own cannot name the certificate that is replaced (RFC 9773, section 5)."""

    def __init__(self, names: Collection[str], replaces: str) -> None:
        self._body: dict[str, Any] = {"identifiers": [{"type": "dns", "value": name} for name in sorted(names)]}
        if replaces:
            self._body["replaces"] = replaces

    def json_dumps(self, indent: int = 2) -> str:
        """What is signed."""
        return json.dumps(self._body, indent=indent)


@dataclass(frozen=True, slots=True)
class Proof:
    """What a challenge asks for. `place` is a token (http-01) or a name (dns-01), `text` what has to be there."""

    kind: str
    name: str
    place: str
    text: str
    body: acme.messages.ChallengeBody


@dataclass(frozen=True, slots=True)
class Binding:
    """What the server's owner gave to a customer: a name, and a file with a key for HMAC (RFC 8555, section 7.3.4)."""

    name: str
    key_file: Path

    def of(self, key: josepy.JWKEC, directory: acme.messages.Directory) -> dict[str, str]:
        """The binding of the account with this key. Raises OSError; ValueError for a key that is none."""
        secret = self.key_file.read_text(encoding="ascii").strip()
        bound: dict[str, str] = acme.messages.ExternalAccountBinding.from_data(
            key.public_key(), self.name, secret, directory
        )
        return bound


def new_account(directory: str) -> Account:
    """With a key of its own, unknown to the server so far."""
    return Account(directory, josepy.JWKEC(key=ec.generate_private_key(ec.SECP256R1())).json_dumps())


def seconds_after(header: str, now: float) -> float:
    """What Retry-After says (RFC 9110, section 10.2.3), in seconds from now; 0 for nothing or nonsense."""
    if re.fullmatch(r"[0-9]{1,9}", header.strip()):
        return float(header)
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now)
    return 0.0


class Server:
    """One ACME server, for one account. Every method raises Refused, or OSError when it cannot be reached."""

    def __init__(self, account: Account, ca: str, still: Callable[[], None]) -> None:
        """`ca` is a file of certificates that the server's own may be signed by. `still` raises when we are not to go
        on."""
        self._still, self._after = still, 0.0
        self.key = josepy.JWKEC.json_loads(account.key)
        known = acme.messages.RegistrationResource(uri=account.url, body={}) if account.url else None
        self._net = ClientNetwork(
            self.key, known, josepy.ES256, verify_ssl=ca, user_agent="seter-acme", timeout=TIMEOUT
        )
        self._net.session.hooks["response"].append(self._note)
        self._directory = self._done(lambda: ClientV2.get_directory(account.directory, self._net))

    def _note(self, answer: requests.Response, *_rest: object, **_more: object) -> None:
        self._after = seconds_after(answer.headers.get("Retry-After", ""), time.time())

    def _done(self, act: Callable[[], T]) -> T:
        self._still()
        try:
            return act()
        except acme.messages.Error as fault:
            code = str(fault.code or fault.typ)
            void, stranger = code in GONE, code == "accountDoesNotExist"
            reason = f"{code}: {fault.detail or fault.title or 'no reason given'}"
            raise Refused(reason, void=void, stranger=stranger, after=self._after) from fault
        except (acme.errors.Error, josepy.errors.Error, ValueError) as fault:
            raise Refused(f"{type(fault).__name__}: {fault}", after=self._after) from fault

    def _post(self, url: str, body: josepy.JSONDeSerializable | NewOrder | None = None) -> requests.Response:
        for attempt in range(NONCES):
            try:
                answer: requests.Response = self._net.post(url, body, new_nonce_url=self._directory["newNonce"])
                return answer
            except acme.messages.Error as fault:
                if fault.code != "badNonce" or attempt == NONCES - 1:
                    raise
        raise AssertionError("the last try returns or raises")

    def register(self, account: Account, contact: str, binding: Binding | None) -> Account:
        """The account, known to the server, as that of a customer if there is a `binding`; one that it knew already by
        its key is the same. Raises OSError, too."""
        bound = self._done(lambda: binding.of(self.key, self._directory)) if binding is not None else None
        body = acme.messages.NewRegistration(
            terms_of_service_agreed=True, contact=(contact,) if contact else (), external_account_binding=bound
        )
        answer = self._done(lambda: self._post(self._directory["newAccount"], body))
        self._net.account = acme.messages.RegistrationResource(uri=answer.headers["Location"], body={})
        return replace(account, url=answer.headers["Location"])

    def window(self, certificate: str) -> Window | None:
        """When the server would have this certificate (ARI's name) renewed; None when it has no opinion."""
        try:
            base = self._directory["renewalInfo"]
        except KeyError:
            return None
        found = self._done(lambda: self._net.get(f"{base.rstrip('/')}/{certificate}").json())
        try:
            start, end = (datetime.fromisoformat(found["suggestedWindow"][side]) for side in ("start", "end"))
        except (KeyError, TypeError, ValueError) as fault:
            raise Refused(f"its renewal information is wrong: {fault}") from fault
        return Window(
            certificate, start.timestamp(), end.timestamp(), time.time() + min(max(self._after, 60.0), 86400.0)
        )

    def begin(self, names: Collection[str], key: str, replaces: str, directory: str) -> Order:
        """A new order."""
        url = self._directory["newOrder"]
        offered = replaces if "renewalInfo" in self._directory.to_partial_json() else ""
        try:
            answer = self._done(lambda: self._post(url, NewOrder(names, offered)))
        except Refused as refused:
            # It was replaced before, or is another server's; neither is a reason to go without (RFC 9773, section 5).
            if not offered or not (refused.void or isinstance(refused.__cause__, acme.errors.ConflictError)):
                raise
            answer = self._done(lambda: self._post(url, NewOrder(names, "")))
        return Order(directory, answer.headers["Location"], tuple(sorted(names)), key)

    def look(self, order: Order) -> acme.messages.Order:
        """How the order stands."""
        return acme.messages.Order.from_json(self._done(lambda: self._post(order.url)).json())

    def proofs(self, order: Order, kind_for: Callable[[str], str]) -> list[Proof]:
        """What is still to be shown; `kind_for` says by which kind of challenge for a name."""
        found = []
        for url in self.look(order).authorizations:
            body = self._authorization(url)
            name = ("*." if body.wildcard else "") + body.identifier.value
            if body.status == acme.messages.STATUS_PENDING:
                found.append(self._proof(name, kind_for(name), body))
        return found

    def _authorization(self, url: str) -> acme.messages.Authorization:
        return acme.messages.Authorization.from_json(self._done(lambda: self._post(url)).json())

    def _proof(self, name: str, kind: str, body: acme.messages.Authorization) -> Proof:
        for challenge in body.challenges:
            if challenge.chall.typ == kind and isinstance(challenge.chall, challenges.KeyAuthorizationChallenge):
                token, text = challenge.chall.encode("token"), challenge.chall.validation(self.key)
                return Proof(kind, name, token if kind == "http-01" else name, text, challenge)
        raise Refused(f"the server offers no {kind} for {name}", void=True)

    def answer(self, proof: Proof) -> None:
        """It may look now."""
        if proof.body.status == acme.messages.STATUS_PENDING:
            self._done(lambda: self._post(proof.body.uri, proof.body.chall.response(self.key)))

    def wait_for_proofs(self, order: Order) -> None:
        """Until the server has seen all."""
        for url in self.look(order).authorizations:
            body = self._until(partial(self._authorization, url), (acme.messages.STATUS_PENDING,))
            if body.status != acme.messages.STATUS_VALID:
                errors = [str(one.error.detail or one.error.typ) for one in body.challenges if one.error is not None]
                raise Refused(f"{body.identifier.value} was not proved: {'; '.join(errors) or body.status}", void=True)

    def fetch(self, order: Order) -> str:
        """The certificate of an order with all proofs: its chain, PEM."""
        body = self.look(order)
        if body.status == acme.messages.STATUS_READY:
            wanted = x509.load_pem_x509_csr(request_for(order.names, order.key))
            signed = acme.messages.CertificateRequest(csr=wanted)
            self._done(lambda: self._post(body.finalize, signed))
        waiting = (acme.messages.STATUS_PROCESSING, acme.messages.STATUS_READY, acme.messages.STATUS_PENDING)
        body = self._until(partial(self.look, order), waiting)
        if body.status != acme.messages.STATUS_VALID or not body.certificate:
            reason = body.error.detail if body.error is not None else body.status
            raise Refused(f"the order came to nothing: {reason}", void=True)
        return str(self._done(lambda: self._post(body.certificate)).text)

    def _until(self, look: Callable[[], T], waiting: tuple[acme.messages.Status, ...]) -> T:
        end = time.monotonic() + PATIENCE
        while getattr(body := look(), "status", None) in waiting:
            if time.monotonic() > end:
                raise Refused(f"the server takes longer than {PATIENCE:g} s", after=self._after)
            time.sleep(min(LONG, max(BRIEF, self._after)))
        return body
