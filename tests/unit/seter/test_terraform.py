"""Terraform's words, as ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Missing
from seter import terraform
from seter.terraform import Change, changes, errors


def plan(*rows: tuple[str, list[str], dict[str, object]]) -> dict[str, object]:
    return {
        "resource_changes": [
            {"address": address, "change": {"actions": actions, **more}} for address, actions, more in rows
        ]
    }


def test_what_stays_is_no_change() -> None:
    assert changes(plan(("a.b", ["no-op"], {}), ("data.c", ["read"], {}))) == ()


def test_what_is_replaced_says_which_of_our_triggers_differ() -> None:
    before, after = ({"triggers_replace": {"memory": size, "cores": 1}} for size in (512, 1024))
    more: dict[str, object] = {"replace_paths": [["triggers_replace"]], "before": before, "after": after}
    (found,) = changes(plan(("terraform_data.machine", ["delete", "create"], more)))
    assert str(found) == "replace terraform_data.machine, since memory differ"


def test_what_a_provider_replaces_says_which_attribute() -> None:
    more: dict[str, object] = {"replace_paths": [["block_device", 0, "uuid"]]}
    (found,) = changes(plan(("openstack_compute_instance_v2.machine", ["delete", "create"], more)))
    assert found == Change("openstack_compute_instance_v2.machine", ("delete", "create"), ("block_device.0.uuid",))


def diagnostic(summary: str, detail: str) -> str:
    return json.dumps({"@level": "error", "type": "diagnostic", "diagnostic": {"summary": summary, "detail": detail}})


def test_what_our_own_program_said_is_all_that_is_shown_of_its_command() -> None:
    line = diagnostic("local-exec provisioner error", "Error running command '{\"a\":'b'}': exit status 1. Output: no")
    assert errors(f"a warning in words\n{line}\n") == ["no"]


def test_other_errors_have_summary_and_detail() -> None:
    assert errors(diagnostic("Failed to save state", "HTTP error: 409")) == ["Failed to save state", "HTTP error: 409"]


@given(
    st.text(),
    st.recursive(st.none() | st.booleans() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)),
)
def test_lines_of_any_kind_are_no_error_of_ours(text: str, value: object) -> None:
    errors(text + "\n" + json.dumps(value))


def test_without_any_terraform_it_is_said_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(terraform, "LIBRARY", "no_such_library_of_terraform")
    monkeypatch.setattr(terraform.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(Missing, match="neither terraform nor tofu"):
        terraform.program()


def test_opentofu_serves_where_there_is_no_terraform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(terraform.sys, "executable", str(tmp_path / "python"))
    (tmp_path / "tofu").write_text("#!/bin/sh\n")
    (tmp_path / "tofu").chmod(0o755)
    assert terraform.program() == (str(tmp_path / "tofu"),)
