"""naust verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store
from common.errors import BadInput
from naust.cli.opened import bare, opened

if TYPE_CHECKING:
    from naust.proof.policy import Policy
    from naust.proof.proofs import Proof
    from naust.verify import Judgement

_COLUMNS = ("requirement", "", "found", "wanted")


def verify(
    reference: Annotated[str, typer.Argument(help="KIND/NAME:VERSION, KIND/NAME@sha256:…, or a URI.")] = "",
    store: Store = None,
    policy: Annotated[Path | None, typer.Option(envvar="NAUST_POLICY", help="What is asked of it, HCL.")] = None,
    key: Annotated[
        list[Path] | None, typer.Option("--key", help="Instead: a public key, of which one must have signed it.")
    ] = None,
    export: Annotated[Path | None, typer.Option(help="Write all that the verdict rests on to this file.")] = None,
    proof: Annotated[Path | None, typer.Option(help="Such a file, instead of a store.")] = None,
    file: Annotated[Path | None, typer.Option(help="A copy of the artefact's file, which must be it.")] = None,
    manual: Annotated[bool, typer.Option("--manual", help="Print the reference of policy.hcl.")] = False,
    json: Json = False,
) -> None:
    """Say whether an artefact is what a policy asks for: signed by whom and for what, built by whom and from which
    sources, how old, with an SBOM, not revoked.

    The verdict is the same on every store and from an exported file; nothing that a signature does not cover is
    trusted, and no online service is asked.

    Exit codes: 0 every requirement is met, or the proof was exported; 2 no such artefact, or bad policy or key; 8 a
    requirement is not met, each is named; 9 the store does not answer.
    """
    from naust.proof.policy import manual as text
    from naust.proof.proofs import export as write
    from naust.verify import judge

    if manual:
        console.result(text())
        return
    evidence = _evidence(reference, store, proof)
    if export is not None:
        write(evidence, export)
    asked = _policy(policy, key)
    if asked is not None:
        found = judge(evidence, asked, file=file)
        console.json_result(found) if json else _show(found)
        found.check()
    elif export is None:
        raise BadInput("nobody says what is asked of it", resolution="Give --policy, --key or $NAUST_POLICY.")


def _evidence(reference: str, store: str | None, proof: Path | None) -> Proof:
    from naust.listing import resolve
    from naust.proof.proofs import gather, load

    if bool(reference) == (proof is not None):
        raise BadInput("one of REFERENCE and --proof is wanted", resolution="Name an artefact, or an exported proof.")
    if proof is not None:
        return load(proof)
    source, address = opened(store, reference)
    return gather(source, resolve(source, bare(address)))


def _policy(policy: Path | None, keys: list[Path] | None) -> Policy | None:
    from naust.proof.policy import load, of_keys

    if keys:
        return of_keys(keys)
    return load(policy) if policy is not None else None


def _show(found: Judgement) -> None:
    rows = [(each.check, "met" if each.ok else "NOT MET", each.measured, each.expected) for each in found.requirements]
    console.table(_COLUMNS, rows, title=f"{found.reference} {found.digest}")
    if found.ok:
        console.note(f"{found.reference}@{found.digest} meets the policy {found.policy}")
    for each in found.passed_over:
        console.note(f"passed over: {each}")
