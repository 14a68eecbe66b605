"""common.cli and common.console: what a person and a program see."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from common import console
from common.cli import Json, main
from common.errors import BadDefinition, Corrupt, Problem
from common.model import Artifact, Digest, Kind, Reference, Secret


def push(source: str, count: int = 1, as_json: Json = False) -> None:
    """Put a thing into the store."""
    if source == "damaged":
        raise Corrupt("the blob is damaged", details="wanted a, found b", resolution="Fetch it again.")
    if source == "interrupt":
        raise KeyboardInterrupt
    if source == "wrong":
        raise BadDefinition([Problem("a.hcl", 3, "no", "write yes"), Problem("b.hcl", 0, "none", "make one")])
    console.json_result({"source": source}) if as_json else console.table(("N", "SOURCE"), [(str(count), source)])


VERBS = {"push": push}


@pytest.mark.parametrize(
    ("argv", "code", "out", "err"),
    [
        (["push", "x"], 0, "1\tx\n", ""),
        (["push", "x", "--json"], 0, '{\n  "source": "x"\n}\n', ""),
        (["push", "damaged"], 8, "", "error: the blob is damaged\nwanted a, found b\nFetch it again.\n"),
        (["push", "interrupt"], 130, "", None),
        (["push"], 2, "", "error: Missing argument 'source'.\nSee naust push --help.\n"),
        (["push", "x", "--count", "many"], 2, "", None),
        (["puhs", "x"], 2, "", "error: naust has no verb 'puhs'\nDid you mean naust push?\n"),
        (
            ["push", "wrong"],
            2,
            "",
            "error: 2 problems in the definitions\na.hcl:3: no; write yes\nb.hcl: none; make one\n"
            "Mend the lines named above and run the command again; nothing was changed.\n",
        ),
    ],
)
def test_every_way_out_has_its_code_and_its_words(
    argv: list[str], code: int, out: str, err: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("naust", "keeps things", VERBS, argv) == code
    seen = capsys.readouterr()
    assert seen.out == out
    assert err is None or seen.err == err


def test_help_lists_the_verbs_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("naust", "keeps things", VERBS, ["--help"]) == 0
    text = capsys.readouterr().out
    assert "push  Put a thing into the store." in text
    assert "8 corrupt or unsafe" in text


def test_a_secret_never_shows(capsys: pytest.CaptureFixture[str]) -> None:
    secret = Secret("ZQ7-canary-secret-41")
    console.json_result({"key": secret, "inside": [secret]})
    assert "ZQ7" not in f"{secret} {secret!r} {[secret]}" + capsys.readouterr().out


def test_nouns_read_well_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    artifact = Artifact(
        Reference(Kind.CONTAINER, "traefik", "3.7"), "3.7", Digest.of(b""), 5, "x/y", datetime(2026, 11, 25, tzinfo=UTC)
    )
    console.json_result(artifact)
    read = json.loads(capsys.readouterr().out)
    assert read["reference"] == "container/traefik:3.7"
    assert read["digest"].startswith("sha256:e3b0c442")
    assert read["created"] == "2026-11-25T00:00:00+00:00"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (5 << 40, "5120.0 GiB")]
)
def test_amounts_are_for_people(size: int, text: str) -> None:
    assert console.amount(size) == text
