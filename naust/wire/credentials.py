"""Who we are at a registry: what the store's own settings say, else what `docker login` left behind.

`~/.docker/config.json` ($DOCKER_CONFIG names another folder): `auths`, `credHelpers`, `credsStore`. Helpers are
programs docker-credential-NAME that get the server's name on stdin and print JSON (docker-credential-helpers).
"""

from __future__ import annotations

import binascii
import json
import os
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.errors import BadInput, Denied, Error
from common.model import Secret
from naust.store.access import Access

_HUB = "https://index.docker.io/v1/"  # how Docker files its own registry
_HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io")
_PATIENCE = timedelta(seconds=60)  # a helper may ask a person


@dataclass(frozen=True, slots=True)
class Login:
    """User and password; or, without a user, a token that a token server takes for one (an identity token)."""

    user: str
    secret: Secret


def login(registry: str, access: Access) -> Login | None:
    """Who we are at this registry, HOST or HOST:PORT; None for nobody in particular.

    Raises BadInput if the configuration cannot be read, Denied if a helper fails.
    """
    if access.user and access.password:
        return Login(access.user, access.password)
    if access.token:
        return None
    document = _configuration()
    key = _HUB if registry in _HUB_HOSTS else registry
    helper = _text(_mapping(document, "credHelpers").get(key)) or _text(document.get("credsStore"))
    if helper:
        return _from_helper(helper, key)
    return _from_file(_mapping(document, "auths"), key)


def _configuration() -> Mapping[str, object]:
    folder = os.environ.get("DOCKER_CONFIG", "")
    path = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
    try:
        document = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        # The text of the error could hold a piece of the file, and that holds passwords.
        raise BadInput(
            f"{path} cannot be read", details=type(error).__name__, resolution="Mend it, or log in with Docker anew."
        ) from None
    return document if isinstance(document, dict) else {}


def _mapping(document: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _from_file(entries: Mapping[str, object], key: str) -> Login | None:
    plain = {_host(name): name for name in entries}
    entry = _mapping(entries, key if key in entries else plain.get(key, ""))
    token = _text(entry.get("identitytoken"))
    if token:
        return Login("", Secret(token))
    user, password = _text(entry.get("username")), _text(entry.get("password"))
    if _text(entry.get("auth")):
        try:
            user, _, password = b64decode(_text(entry.get("auth")), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise BadInput(
                f"what Docker's configuration says on {key} cannot be read", resolution="Log in with Docker anew."
            ) from None
    return Login(user, Secret(password.rstrip("\0"))) if user else None


def _host(name: str) -> str:
    """`https://HOST/v1/`, as older Dockers filed it, is HOST."""
    return name.partition("://")[2].partition("/")[0] if "://" in name else name


def _from_helper(helper: str, key: str) -> Login | None:
    from common.run import run

    if "/" in helper:
        raise BadInput(f"{helper!r} is no credential helper", resolution="Mend Docker's config.json: a name, no path.")
    argv = [f"docker-credential-{helper}", "get"]
    result = run(argv, input=key.encode(), timeout=_PATIENCE, check=False)
    if result.code != 0:
        if "not found" in result.stdout.lower():
            return None
        raise Denied(
            f"docker-credential-{helper} has no answer for {key}",
            details=(result.stderr or result.stdout).strip()[:500],
            resolution="Unlock it or log in anew, or write user and password of the store into naust.hcl.",
        )
    return _from_answer(helper, result.stdout)


def _from_answer(helper: str, text: str) -> Login | None:
    try:
        document = json.loads(text)
        user, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, KeyError, TypeError):
        # Not even a piece of what it printed may show.
        raise Error(
            f"docker-credential-{helper} printed something else than credentials",
            resolution="See what is wrong with it, or write user and password of the store into naust.hcl.",
        ) from None
    return Login("" if user == "<token>" else user, Secret(secret)) if secret else None
