"""One verdict on an artefact: each requirement of a policy, met or not, and what was found. It is made from evidence
(naust.proof.proofs) and a clock alone, so every store and one exported file give the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.errors import BadInput, Corrupt
from common.model import Digest, Verdict
from naust import manifest as oci
from naust.proof import bundle
from naust.proof.ancestry import materials
from naust.proof.policy import Policy, fits
from naust.proof.proofs import Document, Proof
from naust.proof.revocations import Claim, Revocation, hit, read, read_list, refused, standing
from naust.proof.sbom import read as packages_of
from naust.proof.signers import PROVENANCE, REVOCATION, SBOM, SIGNATURE, Said, statements, vouches
from naust.untrusted import one_line, record, text
from naust.version import split

_AHEAD = timedelta(minutes=10)  # that another machine's clock may be
_SHOWN = 5  # of a kind in a line
Claims = tuple[list[Claim], datetime | None, str]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict. `at` is the moment that it holds for, `gathered` when the store was asked; `passed_over` is what was
    found and counted for nothing, and why."""

    ok: bool
    reference: str
    digest: Digest
    policy: str
    at: datetime
    gathered: datetime
    requirements: tuple[Verdict, ...]
    passed_over: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises Corrupt naming every requirement that is not met."""
        unmet = [each for each in self.requirements if not each.ok]
        if unmet:
            raise Corrupt(
                f"{self.reference} does not meet the policy {self.policy}",
                details="\n".join(f"{each.check}: {each.measured}; wanted: {each.expected}" for each in unmet),
                resolution="Do not use it. If it ought to be good, sign or attest what is missing, or use another "
                "version.",
            )


def judge(proof: Proof, policy: Policy, *, now: datetime | None = None, file: Path | None = None) -> Judgement:
    """The verdict on this evidence at this moment. `file` is a copy of the artefact's content that must be it too.

    Raises Corrupt if the artefact's manifest, or the list of revocations, cannot be read at all.
    """
    moment = now or datetime.now(UTC)
    said = list(statements(proof, policy, moment))
    rows = [*_requirements(proof, policy, said, moment), *([_file(proof, file)] if file else ())]
    return Judgement(
        ok=all(each.ok for each in rows),
        reference=str(proof.reference),
        digest=proof.digest,
        policy=policy.name,
        at=moment,
        gathered=proof.at,
        requirements=tuple(rows),
        passed_over=(*dict.fromkeys(each.fault for each in said if each.fault), *map(one_line, proof.unreadable)),
    )


def _requirements(proof: Proof, policy: Policy, said: Sequence[Said], now: datetime) -> Iterator[Verdict]:
    want = policy.require
    signatures = [each for each in said if each.kind == SIGNATURE and not each.fault]
    yield _signatures(proof, policy, signatures, said)
    if want.signed_by:
        have = {each.signer for each in signatures}
        missing = [name for name in want.signed_by if name not in have]
        yield Verdict("signed by", not missing, _listed(sorted(have)), f"each of {', '.join(want.signed_by)}")
    provenance, rows = _provenance(policy, said)
    yield from rows
    if want.sbom:
        yield _sbom(said)
    if want.not_older_than is not None:
        yield _age(proof, signatures, provenance, want.not_older_than, now)
    claims, dated, trouble = _claims(proof, policy, now)
    yield _revoked(proof, policy, claims)
    if want.revocations_not_older_than is not None:
        yield _list_age(dated, trouble, want.revocations_not_older_than, now)


# Signatures


def _signatures(proof: Proof, policy: Policy, good: Sequence[Said], said: Sequence[Said]) -> Verdict:
    want = policy.require
    signers = sorted({each.signer for each in good})
    purpose = f", for {want.purpose}" if want.purpose else ""
    named = f", naming {proof.reference}" if want.named else ""
    expected = f"by {want.signatures} of {len(policy.keys)} keys{purpose}{named}"
    ok = len(signers) >= want.signatures
    return Verdict("signatures", ok, _listed(signers) if ok else _why(signers, SIGNATURE, said), expected)


def _why(good: Sequence[str], kind: str, said: Sequence[Said]) -> str:
    """What there is and why the rest does not count."""
    faults = list(dict.fromkeys(each.fault for each in said if each.fault and each.kind in (kind, "")))
    return "; ".join(
        [_listed(good), *faults[:_SHOWN], *([f"and {len(faults) - _SHOWN} more"] * (len(faults) > _SHOWN))]
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


# Provenance


def _provenance(policy: Policy, said: Sequence[Said]) -> tuple[Said | None, list[Verdict]]:
    """The provenance that all of this is about, because one must say all of it; and the rows."""
    want = policy.require
    good = [each for each in said if each.kind == PROVENANCE and not each.fault]
    tried = [(each, [*_rows_of(policy, each)]) for each in good]
    best = max(tried, key=lambda pair: sum(row.ok for row in pair[1]), default=None)
    if best is not None:
        return best[0], best[1]
    rows = []
    if want.provenance or want.built_by or want.sources:
        rows.append(Verdict("provenance", False, _why((), PROVENANCE, said), "signed by a key that may"))
    if want.built_by:
        rows.append(Verdict("built by", False, "nobody says", f"one of {', '.join(want.built_by)}"))
    if want.sources:
        rows.append(Verdict("sources", False, "nobody says", f"all of {', '.join(want.sources)}"))
    return None, rows


def _rows_of(policy: Policy, said: Said) -> Iterator[Verdict]:
    want, predicate = policy.require, said.statement.predicate
    if want.provenance or want.built_by or want.sources:
        yield Verdict("provenance", True, f"by key {said.signer}", "signed by a key that may")
    if want.built_by:
        builder = _builder(predicate)
        ok = bool(builder) and fits(builder, want.built_by)
        yield Verdict("built by", ok, one_line(builder) or "nobody", f"one of {', '.join(want.built_by)}")
    if want.sources:
        uris = [text(each.get("uri")) for each in materials(said.statement.predicate_type, predicate)]
        wrong = [one_line(uri) or "a source without a URI" for uri in uris if not fits(uri, want.sources)]
        found = f"{len(uris)} that fit" if not wrong else f"{len(wrong)} of {len(uris)} do not: {_few(wrong)}"
        expected = f"all of {', '.join(want.sources)}"
        yield Verdict("sources", bool(uris) and not wrong, found if uris else "it names none", expected)


def _few(found: Sequence[str]) -> str:
    return ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")


def _builder(predicate: Mapping[str, object]) -> str:
    """SLSA v1.0 runDetails.builder.id, v0.2 builder.id."""
    return text(record(record(predicate.get("runDetails")).get("builder") or predicate.get("builder")).get("id"))


def _sbom(said: Sequence[Said]) -> Verdict:
    good = [each for each in said if each.kind == SBOM and not each.fault]
    if not good:
        return Verdict("SBOM", False, _why((), SBOM, said), "signed by a key that may")
    count = len(packages_of(good[0].statement.predicate, "the SBOM"))
    return Verdict("SBOM", True, f"{count} packages, by key {good[0].signer}", "signed by a key that may")


# Age


def _age(proof: Proof, good: Sequence[Said], provenance: Said | None, most: timedelta, now: datetime) -> Verdict:
    made, source = _made(proof, good, provenance)
    expected = f"not older than {_span(most)}"
    if made is None:
        return Verdict("age", False, "nobody says when it was made", expected)
    ok = now - made <= most and made <= now + _AHEAD
    return Verdict("age", ok, f"{_date(made)}, as its {source} says", expected)


def _made(proof: Proof, good: Sequence[Said], provenance: Said | None) -> tuple[datetime | None, str]:
    """When it was made, and who says so: only what a signature covers."""
    if provenance is not None:
        predicate = provenance.statement.predicate
        data = record(record(predicate.get("runDetails")).get("metadata") or predicate.get("metadata"))
        for field in ("finishedOn", "startedOn", "buildFinishedOn", "buildStartedOn"):
            if (moment := _moment(text(data.get(field)))) is not None:
                return moment, "provenance"
    tags = [split(each.subject.name.partition(":")[2]) for each in good]
    published = [tag[1] for tag in tags if tag is not None]
    if published:
        return min(published), "signature"
    return (_moment(proof.artifact.annotation(oci.CREATED)), "manifest") if good else (None, "")


def _moment(said: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _date(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _span(length: timedelta) -> str:
    return f"{length.days} days" if length.days and not length.seconds else str(length)


# Revocations


def _claims(proof: Proof, policy: Policy, now: datetime) -> Claims:
    """All that is claimed; when a key that counts last signed the list; why that is none."""
    claims: list[Claim] = []
    for each in proof.revocations:
        try:
            said = read(bundle.either(each.data, each.media_type, "a revocation")[0], "a revocation")
            claims.append(Claim(said, signed=_counts(said, each, policy, now)))
        except Corrupt:
            continue  # it says nothing of anything
    if proof.listed is None:
        return claims, None, "the store has no list"
    listing = read_list(bundle.either(proof.listed.data, proof.listed.media_type, "the list")[0], "the list")
    rule = vouches(proof.listed, policy)
    fault = "no key of the policy signed it" if rule is None else rule.fault(now)
    keys = {str(key.public.fingerprint) for key in policy.keys if key.public and REVOCATION in key.attests}
    for entry in listing.entries:
        vouched = rule is not None and not rule.revoked and entry.signed in keys
        claims.append(Claim(entry, signed=vouched and (entry.revoked or not fault)))
    return claims, None if fault else listing.at, fault


def _counts(said: Revocation, document: Document, policy: Policy, now: datetime) -> bool:
    """Whether a key that may signed it. A revocation outlives the time of its key; taking one back needs one that
    counts now."""
    rule = vouches(document, policy)
    if rule is None or rule.revoked:
        return False
    return said.revoked or not rule.fault(now)


def _revoked(proof: Proof, policy: Policy, claims: Sequence[Claim]) -> Verdict:
    signed = policy.require.signed_revocations
    counting = [each for each in claims if each.signed or not signed]
    found = hit(standing(counting), proof.read(), proof.came_from)
    expected = "not revoked, nor built from what is" + (" (signed revocations)" if signed else "")
    if found is None:
        return Verdict("revocations", True, "none that hits it", expected)
    error = refused(str(proof.reference), *found)
    return Verdict("revocations", False, f"{error.message}: {error.details}", expected)


def _list_age(dated: datetime | None, trouble: str, most: timedelta, now: datetime) -> Verdict:
    expected = f"signed, and not older than {_span(most)}"
    if dated is None:
        return Verdict("list of revocations", False, trouble, expected)
    return Verdict("list of revocations", now - most <= dated <= now + _AHEAD, f"of {_date(dated)}", expected)


def _file(proof: Proof, path: Path) -> Verdict:
    """Whether a file is what the artefact consists of. Raises BadInput if it cannot be read."""
    from naust.transfer.digests import digest_of

    root = proof.read()[0]
    try:
        found = digest_of(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be read", details=str(error), resolution="Name the artefact's file.") from error
    ok = len(root.layers) == 1 and root.layers[0].digest == found
    expected = str(root.layers[0].digest) if len(root.layers) == 1 else "an artefact that is one file"
    return Verdict("file", ok, f"{path.name} is {found}", expected)
