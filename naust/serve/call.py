"""One request on its way through the server: what was asked, by whom, and how it fails."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from common.errors import BadInput, Conflict, Corrupt, Denied, Error, NotFound, Unavailable
from common.model import Digest
from naust.serve.answer import Answer, problem
from naust.serve.connection import Body
from naust.serve.head import Head, host_of
from naust.serve.tokens import Holder, Right
from naust.store.interface import check_name

REALM = "naust"
ANONYMOUS = "anonymous"  # what the token endpoint hands out to those who show none


class Failed(Exception):
    """The request gets this answer instead of what it asked for."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose sender is known."""

    head: Head
    body: Body
    holder: Holder
    secure: bool
    anonymous: bool = False  # no token was shown

    @property
    def base(self) -> str:
        """How the client reached this server, as a URL without a slash at its end."""
        return f"{'https' if self.secure else 'http'}://{host_of(self.head)}"

    def need(self, right: Right, name: str) -> None:
        """Raises Failed: 401 if a token could help, else 403."""
        if not self.holder.may(right, name):
            raise self.refused(f"{right.name.lower()} {name}")

    def need_everywhere(self, right: Right) -> None:
        """As `need`, for every name at once."""
        if not self.holder.may_everywhere(right):
            raise self.refused(f"{right.name.lower()} everything")

    def refused(self, what: str) -> Failed:
        """The failure of somebody who may not."""
        if self.anonymous:
            return Failed(challenge(problem(401, "UNAUTHORIZED", f"nobody may {what} without a token", TOKEN_HELP)))
        todo = f"Ask for a token whose scope covers that; this one is {self.holder.name}'s"
        return Failed(problem(403, "DENIED", f"{self.holder.name} may not {what}", todo))


TOKEN_HELP = "Send Authorization: Bearer TOKEN, or log in with the token as password; `naust token new` makes one"


def challenge(answer: Answer, bearer: str = "") -> Answer:
    """The answer with a field that makes clients log in; `bearer` is the URL of a token endpoint."""
    field = f'Bearer realm="{bearer}",service="{REALM}"' if bearer else f'Basic realm="{REALM}", charset="UTF-8"'
    return answer.having(WWW_Authenticate=field)


def token_of(head: Head) -> str | None:
    """The token that the request carries, as bearer or as password; None if it carries none. Raises Failed."""
    said = head.header("authorization")
    if not said:
        return None
    scheme, _, value = said.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            pass
    raise Failed(challenge(problem(401, "UNAUTHORIZED", "the Authorization field cannot be understood", TOKEN_HELP)))


def name_in(text: str) -> str:
    """The name, checked. Raises Failed."""
    try:
        return check_name(text)
    except BadInput as error:
        raise Failed(problem(400, "NAME_INVALID", error.message, error.resolution)) from error


def digest_in(text: str) -> Digest:
    """The digest, checked. Raises Failed."""
    try:
        return Digest.parse(text)
    except BadInput as error:
        raise Failed(problem(400, "DIGEST_INVALID", error.message, error.resolution)) from error


_STATUS: tuple[tuple[type[Error], int, str], ...] = (
    (NotFound, 404, "NAME_UNKNOWN"),
    (BadInput, 400, "UNSUPPORTED"),
    (Denied, 403, "DENIED"),
    (Conflict, 409, "DENIED"),
    # What the store holds is damaged. Not 5xx: to ask again does not help.
    (Corrupt, 422, "MANIFEST_INVALID"),
    (Unavailable, 503, "UNAVAILABLE"),
)


def failure(error: Error, code: str = "", store: str = "") -> Answer:
    """An error of the store as an answer. `code` is OCI's for what is not there. Where the store lies is not told."""
    status, own = next(((status, own) for kind, status, own in _STATUS if isinstance(error, kind)), (507, "UNKNOWN"))
    if status in _TOLD:
        return problem(status, own, _TOLD[status], "Tell the operator of this server")
    message = error.message.replace(store, "this store") if store else error.message
    return problem(status, code if status == 404 and code else own, message, error.resolution)


_TOLD = {403: "the store may not be changed", 503: "the store does not answer", 507: "the store has no room left"}
