"""What pip itself says: where its indexes are, and which versions a list of requirements comes to.

`pip config list`, `pip install --dry-run --report` (https://pip.pypa.io/en/stable/reference/installation-report/).
Nothing is built and no code of a package runs: only wheels are taken (`--only-binary=:all:`). Addresses with a
password go by the environment, never as arguments.
"""

from __future__ import annotations

import ast
import json
import netrc
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from common.errors import BadInput, Corrupt, Error, Unavailable
from common.model import Digest, Secret
from common.run import CommandFailed, environment, run
from naust.source.pypi_lock import Pin, applies
from naust.source.pypi_tags import Target
from naust.wire.transport import basic

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PUBLIC = "https://pypi.org/simple"  # where pip looks if nothing is configured
_PATIENCE = timedelta(minutes=30)
_MOST_ROUNDS = 8  # of resolving again with what the markers of another machine ask for
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Index:
    """A simple index, its URL without credentials and without a slash at its end."""

    url: str
    credential: Secret | None = None


def indexes(url: str) -> tuple[Index, ...]:
    """This one; or, if it is '', those that pip is configured for on this machine, the first before the extra ones."""
    if url:
        return (_index(url),)
    said = _configured()
    named = [said.get("index-url", PUBLIC), *said.get("extra-index-url", "").split()]
    return tuple(dict.fromkeys(_index(each) for each in named))


def _configured() -> dict[str, str]:
    """pip's own settings, as they count for `pip install`. The text holds passwords and goes nowhere else."""
    listed = run([sys.executable, "-m", "pip", "config", "list"], env=_environment({}), timeout=_PATIENCE).stdout
    order = ("global", "install", ":env:")
    found: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        if section in order and (section, value) and order.index(section) >= found.get(name, (-1, ""))[0]:
            found[name] = (order.index(section), _unquoted(value))
    return {name: value for name, (_, value) in found.items() if value}


def _unquoted(value: str) -> str:
    try:
        return str(ast.literal_eval(value)).strip()
    except (ValueError, SyntaxError):
        return ""


def _index(url: str) -> Index:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(
            "the index that pip is configured for has no web address",
            details=f"It begins with {parts.scheme}:",
            resolution="Name a simple index as `url` of the source.",
        )
    user, secret = unquote(parts.username or ""), unquote(parts.password or "")
    if not user:
        user, secret = _from_netrc(parts.hostname)
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")
    return Index(plain, basic(user, Secret(secret)) if user else None)


def _from_netrc(host: str) -> tuple[str, str]:
    """User and password of ~/.netrc ($NETRC names another file), as pip takes them; '' without."""
    place = Path(os.environ.get("NETRC", "") or Path.home() / ".netrc")
    try:
        found = netrc.netrc(place).authenticators(host)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return "", ""
    return (found[0], found[2] or "") if found else ("", "")


def resolved(packages: Sequence[str], target: Target, url: str) -> tuple[Pin, ...]:
    """The versions that pip takes for these requirements and all they depend on, each with the hash of the file that it
    would install. Raises BadInput if there is no solution.

    pip judges markers by the machine that it runs on. So they are judged again for the target, and what that asks for
    besides is resolved with the rest. An optional dependency that only this machine's markers ask for stays in.
    """
    wanted = [each for each in map(_parsed, packages) if applies(each, target.environments())]
    for _ in range(_MOST_ROUNDS if wanted else 0):
        report = _report([str(_without_marker(each)) for each in wanted], target, url)
        more = _asked_for(report, target)
        if not more:
            return tuple(sorted(_pins(report), key=lambda pin: (pin.project, pin.version)))
        wanted += more
    if not wanted:
        return ()
    raise BadInput("the requirements have no end", resolution="Write a lock file on the machine that they are for.")


def _parsed(text: str) -> Requirement:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        found = Requirement(text)
    except (InvalidRequirement, RecursionError) as error:
        raise BadInput(
            f"{text!r} is no requirement", details=str(error)[:300], resolution="Write one such as ansible>=12,<13."
        ) from error
    if found.url:
        raise BadInput(f"{found.name} is named by a URL", resolution="Put it into a source of type files.")
    return found


def _without_marker(required: Requirement) -> Requirement:
    from packaging.requirements import Requirement

    plain = Requirement(str(required))
    plain.marker = None
    return plain


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """For pip. What lies in a folder of this machine is no upstream: it is left out."""
    ours = environment({"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", **more})
    ours.pop("PIP_FIND_LINKS", None)
    return ours


def _where(url: str) -> dict[str, str]:
    """The environment that lets pip look at this index alone."""
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": url, "PIP_EXTRA_INDEX_URL": ""} if url else {}


def _report(packages: Sequence[str], target: Target, url: str) -> Sequence[Mapping[str, object]]:
    with tempfile.TemporaryDirectory(prefix="naust-pip-") as work:
        path = Path(work) / "report.json"
        argv = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        argv += ["--report", str(path), "--target", work, "--only-binary=:all:"]
        argv += ["--implementation", "cp", "--python-version", target.python]
        argv += [f"--platform={each}" for each in target.tags]
        try:
            run([*argv, "--", *packages], env=_environment(_where(url)), timeout=_PATIENCE)
        except CommandFailed as failed:
            raise _no_solution(failed, target) from None
        try:
            found = json.loads(path.read_bytes())["install"]
            return [each for each in found if isinstance(each, dict)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Corrupt(
                "pip's report cannot be read", details=str(error), resolution="See that pip is 22.2 or newer."
            ) from error


def _no_solution(failed: CommandFailed, target: Target) -> Error:
    lines = _USERINFO.sub("", failed.details).splitlines()
    if any("Retrying (" in line or "HTTP error 5" in line for line in lines):
        return Unavailable("pip does not reach its index", details=lines[-1], resolution="Try again later.")
    wanted = [line for line in lines if "ERROR" in line] or lines
    return BadInput(
        f"pip finds nothing that fits {target.platform} and Python {target.python}",
        details="\n".join(wanted[-10:]),
        resolution="Mend `packages`. What has no wheel needs a lock file with hashes: then its source is taken.",
    )


def _pins(report: Sequence[Mapping[str, object]]) -> Iterator[Pin]:
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    for each in report:
        said = _metadata(each)
        yield Pin(canonicalize_name(str(said["name"])), Version(str(said["version"])), chosen=_chosen(each))


def _chosen(each: Mapping[str, object]) -> Digest | None:
    """The digest of the file that pip would install, where its index says it."""
    try:
        return Digest.parse(f"sha256:{each['download_info']['archive_info']['hashes']['sha256']}")  # type: ignore[index]
    except (BadInput, KeyError, TypeError):
        return None


def _asked_for(report: Sequence[Mapping[str, object]], target: Target) -> list[Requirement]:
    """What the packages ask for on the target and is not among them."""
    from packaging.utils import canonicalize_name

    there = {canonicalize_name(str(_metadata(each)["name"])) for each in report}
    found: list[Requirement] = []
    for each in report:
        extras = each.get("requested_extras")
        wanted = ("", *(str(extra) for extra in (extras if isinstance(extras, list) else ())))
        listed = _metadata(each).get("requires_dist")
        for text in listed if isinstance(listed, list) else ():
            required = _parsed(str(text))
            if canonicalize_name(required.name) not in there and applies(required, target.environments(), wanted):
                found.append(required)
    return found


def _metadata(each: Mapping[str, object]) -> Mapping[str, object]:
    said = each.get("metadata")
    if not isinstance(said, dict) or "name" not in said or "version" not in said:
        raise Corrupt("pip's report names no version", resolution="See that pip is 22.2 or newer.")
    return said
