"""policy.hcl: read whole or not at all, with every fault named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import BadDefinition
from naust.proof import keys, policy
from naust.proof.policy import fits, load, of_keys

GOOD = """
policy "release" {
  revoked_keys = ["sha256:%s"]
  key "release" {
    file     = "release.pub"
    purposes = ["release"]
    attests  = ["provenance", "sbom"]
    since    = "2026-01-01"
    until    = "2028-01-01"
  }
  key "second" {
    file = "second.pub"
  }
  require {
    signatures                 = 2
    purpose                    = "release"
    signed_by                  = ["second"]
    named                      = true
    built_by                   = ["https://ci.example.org/*"]
    sources                    = ["git+https://git.example.org/*"]
    sbom                       = true
    not_older_than             = "30d"
    signed_revocations         = true
    revocations_not_older_than = "7d"
  }
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("release", "second"):
        keys.new(tmp_path / f"{name}.key")
    return tmp_path


def written(folder: Path, text: str) -> Path:
    (folder / "policy.hcl").write_text(text)
    return folder / "policy.hcl"


def problems(folder: Path, text: str) -> str:
    with pytest.raises(BadDefinition) as refused:
        load(written(folder, text))
    return str(refused.value)


def test_a_whole_policy_is_read(folder: Path) -> None:
    found = load(written(folder, GOOD % ("0" * 64)))
    assert [rule.name for rule in found.keys] == ["release", "second"]
    assert found.keys[0].until == datetime(2028, 1, 1, tzinfo=UTC)
    assert found.keys[0].public == keys.load_public(folder / "release.pub")
    assert found.require.signatures == 2
    assert found.require.not_older_than == timedelta(days=30)


def test_a_revoked_key_is_known_by_its_fingerprint(folder: Path) -> None:
    found = load(written(folder, GOOD % keys.load_public(folder / "second.pub").fingerprint.hex))
    assert [rule.revoked for rule in found.keys] == [False, True]


def test_every_fault_is_named_with_its_line(folder: Path) -> None:
    said = problems(
        folder,
        GOOD.replace("2026-01-01", "yesterday").replace("30d", "long").replace('"sbom"]', '"weather"]')
        .replace("named ", "nemed ") % "x",
    )  # fmt: skip
    for text in ("yesterday", "long", "weather", "nemed", "fingerprint", "policy.hcl:"):
        assert text in said


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("signatures                 = 2", "signatures = 3", "3 signatures"),
        ('["second"]', '["third"]', "third"),
        ('until    = "2028-01-01"', 'until = "2025-01-01"', "never counts"),
        ('"release.pub"', '"none.pub"', "cannot be read"),
        ('"release.pub"', '"release.key"', "private"),
        ('"release.pub"', '"second.pub"', "same key"),
        ('"release.pub"', '"policy.hcl"', "no key"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(folder: Path, before: str, after: str, reason: str) -> None:
    assert reason in problems(folder, (GOOD % ("0" * 64)).replace(before, after))


def test_a_policy_without_keys_is_refused(folder: Path) -> None:
    problems(folder, 'policy "p" {\n}\n')
    problems(folder, "")
    problems(folder, 'policy "p" {\n  key "a" {\n  }\n}\n')


def test_no_signature_at_all_can_be_asked_for_only_by_saying_so(folder: Path) -> None:
    text = 'policy "p" {\n  key "a" {\n    file = "release.pub"\n  }\n%s}\n'
    assert load(written(folder, text % "")).require.signatures == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.data())
def test_any_policy_is_read_or_refused(folder: Path, data: st.DataObject) -> None:
    text = GOOD % ("0" * 64)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    put = data.draw(st.sampled_from(["", "{", "}", '"', "\n", "= 1", "true", "[", "${a}", "x = x\n", "\x00", "é"]))
    try:
        load(written(folder, text[:start] + put + text[end:]))
    except BadDefinition:
        return


def test_keys_alone_are_a_policy_too(folder: Path) -> None:
    found = of_keys([folder / "release.pub", folder / "second.pub"])
    assert found.require.signatures == 1
    assert [rule.purposes for rule in found.keys] == [(), ()]


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("https://git.example.org/a", "https://git.example.org/*", True),
        ("https://git.example.org/a/b@x", "https://git.example.org/*", True),
        ("https://git.example.org.evil/a", "https://git.example.org*/a", True),
        ("https://git.example.org@evil/a", "https://git.example.org*/a", False),
        ("https://git.example.org:evil/a", "https://git.example.org*/a", False),
        ("https://evil/git.example.org/a", "https://*.example.org/*", False),
        ("https://evil/?https://git.example.org/", "https://git.example.org/*", False),
        ("xhttps://git.example.org/a", "https://git.example.org/*", False),
        ("https://git.example.org/a\nb", "https://git.example.org/*", False),
        ("pkg:deb/debian/x", "pkg:deb/*", True),
        ("pkg:deb.", "pkg:deb?", False),
        ("", "*", True),
        ("https://git.example.org/team/../other", "https://git.example.org/team/*", False),
        ("https://git.example.org/team/%2e%2e/other", "https://git.example.org/team/*", False),
        ("https://git.example.org/team/v1..2", "https://git.example.org/team/*", True),
    ],
)
def test_a_pattern_never_reaches_into_another_host(text: str, pattern: str, expected: bool) -> None:
    assert fits(text, (pattern,)) is expected


def test_the_manual_names_everything_that_can_be_set() -> None:
    said = policy.manual()
    for shape in (policy.POLICY, policy.KEY, policy.REQUIRE):
        for setting in shape.settings:
            assert f"`{setting.name}`" in said
