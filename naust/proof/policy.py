"""What `naust verify` asks of an artefact: whose signatures count, for what, and what else must be there. Read from
policy.hcl, whose values are literals; the shapes below read it and print its manual (`naust verify --manual`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from common.errors import BadDefinition, BadInput, NotFound, Problem
from common.hcl import Literal
from common.hcl import read as read_hcl
from common.model import Digest
from common.role import NOWHERE, Place
from common.schema import Inner, Setting, Shape, read_only, reference
from common.values import Wrong, as_count, as_duration, as_flag, as_label, as_text, many, one_of, shown
from naust.proof.keys import PublicKey, load_public

ATTESTS = ("provenance", "sbom", "revocation")

_INTRODUCTION = """\
A policy is data: values are literals (`"text"`, `5`, `true` or a list of these). A relative path is relative to the
policy's own file. A date is a day, `"2027-01-01"`, and begins at midnight UTC. In a pattern `*` stands for any
characters; between `://` and the next `/` only for letters, digits, `.` and `-`, so that no other host fits."""


@dataclass(frozen=True, slots=True)
class KeyRule:
    """A key and what counts that it signs. Without purposes: signatures for any purpose, or none."""

    name: str
    file: str = ""
    purposes: tuple[str, ...] = ()
    attests: tuple[str, ...] = ATTESTS
    since: datetime | None = None
    until: datetime | None = None
    revoked: bool = False
    place: Place = NOWHERE
    public: PublicKey | None = None

    def fault(self, now: datetime) -> str:
        """Why nothing that it signed counts now; '' if it does."""
        if self.revoked:
            return f"key {self.name} is revoked"
        if self.until is not None and now >= self.until:
            return f"key {self.name} counted until {self.until.date()}"
        if self.since is not None and now < self.since:
            return f"key {self.name} counts from {self.since.date()}"
        return ""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What must be the case. What is not written is not asked, but one signature is."""

    signatures: int = 1
    purpose: str = ""
    signed_by: tuple[str, ...] = ()
    named: bool = False
    provenance: bool = False
    built_by: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    sbom: bool = False
    not_older_than: timedelta | None = None
    signed_revocations: bool = False
    revocations_not_older_than: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of one file."""

    name: str
    keys: tuple[KeyRule, ...] = ()
    require: Requirements = Requirements()
    revoked_keys: tuple[str, ...] = ()
    place: Place = NOWHERE


def as_date(literal: Literal) -> datetime:
    """The beginning of a day, UTC."""
    text = as_text(literal)
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        raise Wrong(f"{shown(text)} is no date", 'write year, month and day, as in "2027-01-01"') from None


def as_fingerprint(literal: Literal) -> str:
    """`sha256:` and 64 digits, as `naust key show` prints it."""
    text = as_text(literal)
    try:
        return str(Digest.parse(text))
    except BadInput:
        raise Wrong(f"{shown(text)} is no fingerprint", "write what `naust key show` prints, sha256:…") from None


def as_pattern(literal: Literal) -> str:
    """A pattern that is not empty."""
    text = as_text(literal)
    if not text or not text.isprintable():
        raise Wrong(f"{shown(text)} is no pattern", 'write one, as in "https://git.example.org/*"')
    return text


def _key_faults(rule: KeyRule) -> Iterable[Wrong]:
    if rule.since and rule.until and rule.since >= rule.until:
        yield Wrong("the key never counts", "let until come after since", "until")


def _faults(policy: Policy) -> Iterable[Wrong]:
    names = [rule.name for rule in policy.keys]
    for name in policy.require.signed_by:
        if name not in names:
            yield Wrong(f"require: signed_by names {name}, which is no key here", f"keys are: {', '.join(names)}")
    if policy.require.signatures > len(policy.keys):
        count = len(policy.keys)
        yield Wrong(f"{policy.require.signatures} signatures are wanted of {count} keys", "name more keys, or ask less")


KEY = Shape(
    name="key",
    summary="A key whose signatures count",
    make=KeyRule,
    label="name",
    label_summary="what it is called in verdicts",
    settings=(
        Setting("file", "path", as_text, "The public key, PEM: ECDSA P-256 or Ed25519", True),
        Setting("purposes", "list of text", many(as_label), "What its signatures count for; none named: for anything"),
        Setting("attests", "list of text", many(one_of(*ATTESTS)), "What its attestations count for"),
        Setting("since", "date", as_date, "It counts from this day on"),
        Setting("until", "date", as_date, "From this day on nothing it signed counts but revocations"),
        Setting("revoked", "flag", as_flag, "Nothing that it signed counts"),
    ),
    faults=_key_faults,
)

REQUIRE = Shape(
    name="require",
    summary="What must be the case",
    make=Requirements,
    settings=(
        Setting("signatures", "count", as_count, "By how many different keys it must be signed"),
        Setting("purpose", "text", as_label, "What these signatures must be for"),
        Setting("signed_by", "list of text", many(as_label), "Keys of this policy of which each must have signed"),
        Setting("named", "flag", as_flag, "Signatures must state the artefact's name, as those of `naust sign` do"),
        Setting("provenance", "flag", as_flag, "A signed SLSA provenance is there"),
        Setting("built_by", "list of patterns", many(as_pattern), "Builder ids, of which the provenance has one"),
        Setting("sources", "list of patterns", many(as_pattern), "URIs; each source of the provenance fits one"),
        Setting("sbom", "flag", as_flag, "A signed SBOM (CycloneDX) is there"),
        Setting(
            "not_older_than",
            "duration",
            as_duration,
            "Since its build, as the provenance says; without one since its publication, as the signature says; "
            "else since its creation, as its manifest says",
        ),
        Setting(
            "signed_revocations",
            "flag",
            as_flag,
            "Only revocations that a key of this policy signed count; else every one that is found does",
        ),
        Setting(
            "revocations_not_older_than",
            "duration",
            as_duration,
            "The store's list of revocations is signed by a key of this policy, and was within this time: an old copy "
            "of the store cannot hide one. Renew the list with `naust revoke --refresh`",
        ),
    ),
)

POLICY = Shape(
    name="policy",
    summary="What is asked of an artefact",
    make=Policy,
    label="name",
    label_summary="what it is called in verdicts",
    settings=(
        Setting("revoked_keys", "list of fingerprints", many(as_fingerprint), "Keys that count no more, whoever named"),
    ),
    inner=(Inner(KEY, "keys", vital=True, required=True), Inner(REQUIRE, "require", one=True, vital=True)),
    faults=_faults,
)


def load(path: Path) -> Policy:
    """Read a policy and its keys. Raises BadDefinition with all that is wrong: a policy is used whole or not at all."""
    problems: list[Problem] = []
    block = read_hcl(path, str(path), problems)
    found = read_only(POLICY, block, problems) if block is not None else None
    policy = _with_keys(found, path.parent, problems) if found is not None else None
    if problems or policy is None:
        raise BadDefinition(problems)
    return policy


def of_keys(paths: Iterable[Path]) -> Policy:
    """The policy of `naust verify --key`: signed by one of these keys for any purpose, and not revoked."""
    rules = [KeyRule(path.stem, str(path), public=load_public(path)) for path in paths]
    return Policy("keys", tuple(rules))


def manual() -> str:
    """The reference of policy.hcl, Markdown."""
    return reference("Reference: policy.hcl", _INTRODUCTION, (("policy.hcl", POLICY),))


def _with_keys(policy: Policy, folder: Path, problems: list[Problem]) -> Policy:
    """The policy with its keys read; two rules for one key would let one signature count twice."""
    rules: list[KeyRule] = []
    seen: dict[Digest, str] = {}
    for rule in policy.keys:
        try:
            public = load_public(folder / rule.file, rule.name)
        except (BadInput, NotFound) as error:
            problems.append(_problem(rule, error.message, "name a public key's file"))
            continue
        first = seen.setdefault(public.fingerprint, rule.name)
        if first != rule.name:
            problems.append(_problem(rule, f"it is the same key as {first}", "keep one of the two"))
        revoked = rule.revoked or str(public.fingerprint) in policy.revoked_keys
        rules.append(replace(rule, public=public, revoked=revoked))
    return replace(policy, keys=tuple(rules))


def _problem(rule: KeyRule, message: str, fix: str) -> Problem:
    return Problem(rule.place.file, rule.place.line, f'key "{rule.name}": {message}', fix)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    scheme, separator, rest = pattern.partition("://")
    if not separator:
        return re.compile(_any(pattern, ".*"), re.DOTALL)
    host, slash, path = rest.partition("/")
    return re.compile(_any(scheme, "[a-z0-9+.-]*") + "://" + _any(host, "[A-Za-z0-9.-]*") + slash + _any(path, ".*"))


def _any(text: str, star: str) -> str:
    return star.join(map(re.escape, text.split("*")))


def fits(text: str, patterns: Iterable[str]) -> bool:
    """Whether the text fits one of the patterns. A URL that climbs (`..`) fits none: clients ask for another path."""
    if "://" in text and not {".", ".."}.isdisjoint(re.split(r"[/\\?#]", unquote(text))):
        return False
    return any(_compiled(pattern).fullmatch(text) for pattern in patterns)
