"""Stores that have a name: one file says where they are, how they are reached, and which one is meant by default.

Which file that is says `naust.store.settings_file`. Secrets are not in it; it says where they are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from common.errors import BadDefinition, BadInput, Problem
from common.hcl import Literal, read
from common.model import Secret
from common.names import as_path
from common.schema import Inner, Setting, Shape
from common.schema import read as shaped
from common.values import Wrong, as_count, as_duration, as_flag, as_label, as_size, as_text
from naust.store.access import NOTHING, Access


def as_url(literal: Literal) -> str:
    """A URL without credentials in it."""
    text = as_text(literal)
    parts = urlsplit(text)
    if not parts.scheme or "://" not in text:
        raise Wrong(f"{text!r} is no URL", "write file://, https://, s3:// or docker:// and where it is")
    if parts.password or parts.username:
        raise Wrong("a URL must not hold credentials", "say where they are: token, user, password or secret_key")
    return text.rstrip("/")


def as_secret_place(literal: Literal) -> str:
    """`file:PATH`, `env:NAME` or `command:PROGRAM ARGUMENTS`."""
    text = as_text(literal)
    how, colon, what = text.partition(":")
    if how not in ("file", "env", "command") or not colon or not what.strip():
        raise Wrong("a secret itself has no place here", 'write where it is: "file:PATH", "env:NAME" or "command:…"')
    return text


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """One store of the file. Secrets are the places where they are."""

    name: str
    url: str
    token: str = ""
    user: str = ""
    password: str = ""
    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = ""
    virtual_host: bool = False
    ca: str = ""
    idle: timedelta = NOTHING.idle
    at_once: int = NOTHING.at_once
    limit: int = 0

    def access(self) -> Access:
        """With the secrets fetched. Raises BadInput if one cannot be had."""
        return Access(
            token=secret(self.token),
            user=self.user,
            password=secret(self.password),
            endpoint=self.endpoint,
            region=self.region,
            access_key=self.access_key,
            secret_key=secret(self.secret_key),
            virtual_host=self.virtual_host,
            ca=Path(self.ca) if self.ca else None,
            idle=self.idle,
            at_once=self.at_once,
            limit=self.limit,
        )


@dataclass(frozen=True, slots=True)
class Configuration:
    """The file."""

    default: str = ""
    stores: tuple[StoreSettings, ...] = ()
    place: str = ""  # of the file; '' if there is none

    def named(self, name: str) -> StoreSettings | None:
        """The store of this name."""
        return next((each for each in self.stores if each.name == name), None)

    def at(self, url: str) -> StoreSettings | None:
        """The store whose URL is this, or the beginning of it; the longest."""
        fitting = [each for each in self.stores if f"{url}/".startswith(f"{each.url}/")]
        return max(fitting, key=lambda each: len(each.url), default=None)


STORE = Shape(
    name="store",
    summary="A store, under the name that `--store` takes",
    make=StoreSettings,
    label="name",
    label_summary="what it is called here",
    take_label=as_label,
    settings=(
        Setting("url", "url", as_url, "file://, https://, s3:// or docker:// and where it is", True),
        Setting("token", "place of a secret", as_secret_place, "Token of a naust server"),
        Setting("user", "text", as_text, "User of a registry; else ~/.docker/config.json says it"),
        Setting("password", "place of a secret", as_secret_place, "Password of that user"),
        Setting("endpoint", "url", as_url, "URL of the S3 server"),
        Setting("region", "text", as_text, "Region of the S3 server, where it has any"),
        Setting("access_key", "text", as_text, "Access key of the S3 server; else the environment says it"),
        Setting("secret_key", "place of a secret", as_secret_place, "Secret key that belongs to it"),
        Setting("virtual_host", "flag", as_flag, "The bucket is part of the S3 server's host name"),
        Setting("ca", "path", as_path, "File with the certificates to trust, instead of the system's"),
        Setting("idle", "duration", as_duration, "How long a server may say nothing"),
        Setting("at_once", "count", as_count, "Transfers that run side by side"),
        Setting("limit", "size", as_size, "Bytes a second, in each direction; 0B is no limit"),
    ),
)

FILE = Shape(
    name="naust.hcl",
    summary="Stores by name",
    make=Configuration,
    settings=(Setting("default", "name", as_label, "The store that is meant when none is named"),),
    inner=(Inner(STORE, "stores"),),
)


def configuration(path: Path) -> Configuration:
    """What the file says. Raises BadDefinition with all of its problems."""
    problems: list[Problem] = []
    block = read(path, str(path), problems)
    found = shaped(FILE, block, problems) if block is not None else None
    if found is not None and found.default and found.named(found.default) is None:
        problems.append(Problem(str(path), 1, f"there is no store {found.default!r}", "name one of those in this file"))
    if problems or found is None:
        raise BadDefinition(problems)
    return Configuration(found.default, found.stores, str(path))


def secret(place: str) -> Secret | None:
    """What is at `file:PATH`, in `env:NAME` or printed by `command:…`, without its last line end; None for ''.

    Raises BadInput if there is nothing; the message never holds the secret.
    """
    if not place:
        return None
    how, _, what = place.partition(":")
    value = {"file": _from_file, "env": _from_environment, "command": _from_command}[how](what)
    if not value:
        raise BadInput(f"{place} gives no secret", resolution="Put it there, or name another place in naust.hcl.")
    return Secret(value)


def _from_file(path: str) -> str:
    try:
        return Path(path).expanduser().read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"the secret in {path} cannot be read", details=str(error), resolution="Name a text file that can."
        ) from error


def _from_environment(name: str) -> str:
    return os.environ.get(name, "")


def _from_command(line: str) -> str:
    import shlex

    from common.run import run

    return run(shlex.split(line)).stdout.rstrip("\r\n")
