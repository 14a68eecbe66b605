"""Who said what of an artefact: each attached bundle with the policy's key that signed it, or why it does not count.

What a bundle or its manifest says of itself outside the signature (hint, annotations) is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from common.errors import Corrupt
from naust.proof import bundle, sbom
from naust.proof.bundle import Bundle, Statement, Subject
from naust.proof.policy import KeyRule, Policy
from naust.proof.proofs import Document, Proof
from naust.untrusted import one_line, record
from naust.version import is_dated

SIGNATURE, PROVENANCE, SBOM, REVOCATION = "signature", "provenance", "sbom", "revocation"
_KINDS = {
    bundle.SIGNATURE: SIGNATURE,
    bundle.PROVENANCE: PROVENANCE,
    bundle.PROVENANCE_02: PROVENANCE,
    bundle.SBOM: SBOM,
}
_CALLED = {SIGNATURE: "a signature", PROVENANCE: "a provenance", SBOM: "an SBOM"}


@dataclass(frozen=True, slots=True)
class Said:
    """One statement, `kind` of it ('' for a type that nobody asks for), and who signed it. With a `fault` it counts for
    nothing, and the fault says why."""

    kind: str
    statement: Statement
    subject: Subject
    signer: str
    fault: str = ""

    @property
    def purpose(self) -> str:
        """What a signature is for; '' if it does not say."""
        return self.subject.annotation(bundle.PURPOSE)


def statements(proof: Proof, policy: Policy, now: datetime) -> Iterator[Said]:
    """Every bundle about the artefact, those that count and those that do not."""
    for each in proof.documents:
        try:
            yield _said(bundle.read_bundle(each.data, "it"), proof, policy, now)
        except Corrupt as error:
            yield _nothing(f"a bundle {error.message.removeprefix('it ')}: {one_line(error.details)}")


def signer(read: Bundle, rules: Iterable[KeyRule]) -> KeyRule | None:
    """The key of the policy that signed this."""
    for rule in rules:
        if rule.public is not None and rule.public.verifies(read.signature, read.signed):
            return rule
    return None


def _said(read: Bundle, proof: Proof, policy: Policy, now: datetime) -> Said:
    said = read.statement
    kind = _KINDS.get(said.predicate_type, "")
    what = _CALLED.get(kind) or f"a statement of type {one_line(said.predicate_type)}"
    rule = signer(read, policy.keys)
    if rule is None:
        return _nothing(_foreign(what, read, policy), kind)
    subject = said.about(proof.digest)
    if subject is None:
        return _nothing(f"{what} by key {rule.name} is about another digest", kind)
    found = Said(kind, said, subject, rule.name)
    return Said(kind, said, subject, rule.name, rule.fault(now) or _unfit(found, rule, policy, proof))


def _nothing(fault: str, kind: str = "") -> Said:
    return Said(kind, Statement((), "", {}), Subject(()), "", fault)


def _foreign(what: str, read: Bundle, policy: Policy) -> str:
    claimed = next((rule.name for rule in policy.keys if rule.public and rule.public.hint == read.hint), None)
    if claimed is not None:
        return f"{what} says that key {claimed} signed it, which is not so"
    return f"{what} is by a key that the policy does not name"


def _unfit(said: Said, rule: KeyRule, policy: Policy, proof: Proof) -> str:
    """Why this statement, well signed, is not what the policy wants of that key."""
    if said.kind == SIGNATURE:
        return _unfit_signature(said, rule, policy, proof)
    if said.kind and said.kind not in rule.attests:
        return f"key {rule.name} does not attest: {said.kind}"
    if said.kind == SBOM:
        try:
            sbom.read(record(said.statement.predicate), "the SBOM")
        except Corrupt as error:
            return error.message
    return ""


def _unfit_signature(said: Said, rule: KeyRule, policy: Policy, proof: Proof) -> str:
    asked, purpose, by = policy.require.purpose, said.purpose, f"a signature by key {rule.name}"
    called = f"for {one_line(purpose)}" if purpose else "for no purpose"
    if rule.purposes and purpose not in rule.purposes:
        return f"{by} is {called}, and that key signs for {', '.join(rule.purposes)}"
    if asked and purpose != asked:
        return f"{by} is {called}"
    if policy.require.named and not _names(said.subject.name, proof):
        return f"{by} names {one_line(said.subject.name) or 'nothing'}"
    return ""


def _names(stated: str, proof: Proof) -> bool:
    """Whether this is the artefact's name; of a version its very tag, of a channel any version."""
    name = f"{proof.reference.kind}/{proof.reference.name}"
    if is_dated(proof.reference.tag):
        return stated in (name, str(proof.reference))
    return stated.partition(":")[0] == name


def vouches(document: Document, policy: Policy) -> KeyRule | None:
    """The key that signed a revocation or a list of them, if it may. Whether it still counts is to be asked."""
    if not document.media_type.startswith(bundle.BUNDLES):
        return None
    rule = signer(bundle.read_bundle(document.data, "a revocation"), policy.keys)
    return rule if rule is not None and REVOCATION in rule.attests else None
