"""When roles are rendered anew."""

from __future__ import annotations

from pathlib import Path

from seter.render import role_digest


def test_a_change_in_an_included_role_is_a_change(tmp_path: Path) -> None:
    for role in ("own", "shared", "other"):
        (tmp_path / role / "tasks").mkdir(parents=True)
        (tmp_path / role / "templates").mkdir()
        (tmp_path / role / "templates" / "a.j2").write_text("one")
    text = "- name: A\n  ansible.builtin.include_role:\n    name: shared\n    tasks_from: configure\n"
    (tmp_path / "own" / "tasks" / "configure.yml").write_text(text)
    before = role_digest(tmp_path / "own")
    digests = []
    for role in ("other", "shared"):
        (tmp_path / role / "templates" / "a.j2").write_text("two")
        role_digest.cache_clear()
        digests.append(role_digest(tmp_path / "own"))
    assert digests[0] == before != digests[1]
