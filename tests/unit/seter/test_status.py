"""What status shows of what a role says."""

from __future__ import annotations

from seter.status import summary


def test_a_role_s_own_summary_is_shown() -> None:
    assert summary({"summary": "leads", "revision": 4}) == "leads"


def test_without_one_its_plain_values_are_shown() -> None:
    assert summary({"ok": True, "peers": ["a"], "revision": 4}) == "ok True, revision 4"
    assert summary(None) == ""


def test_a_long_one_is_cut() -> None:
    assert len(summary({"summary": "x" * 500})) == 70
