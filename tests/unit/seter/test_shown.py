"""A plan as a person reads it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seter.cli.shown import show_plan
from seter.diff import Changed
from seter.plan import Act
from seter.preview import Detail, Preview, Verdict
from seter.rehearse import Stage

RESTART = Detail(
    "gateways", "gw1", "traefik", Act.RESTART, Verdict.CHANGES, "its artefact differs", "", "traefik:1", "traefik:2"
)
CLUSTER = Detail("gateways", "gw1", "etcd", Act.CLUSTER, Verdict.UNTOLD, "files differ", "it looks", "", "")
LINES = ("--- x", "+++ x", "@@ -1 +1 @@", "-old", "+new")


def plan(*steps: Detail, files: tuple[Changed, ...] = ()) -> Preview:
    stages = (Stage(("gw1",), ("restart traefik",), (("gateways", 2, 3),)),)
    return Preview("s/t/i", "f", "what is there now", steps, (("gw2", "traefik"),), (), files, stages)


def shown(found: Preview, capsys: pytest.CaptureFixture[str], *, brief: bool = False) -> list[str]:
    show_plan(found, brief=brief)
    return capsys.readouterr().out.splitlines()


def test_each_step_says_what_can_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(plan(RESTART, CLUSTER), capsys, brief=True) == [
        "gateways\tgw1\ttraefik\trestart\twill change\tits artefact differs: traefik:1 → traefik:2",
        "gateways\tgw1\tetcd\tcluster\tcannot tell\tfiles differ; it looks",
    ]


def test_order_and_capacity_follow(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(plan(RESTART), capsys)[1:] == [
        "no change: 1 roles on nodes",
        "1. gw1: restart traefik (2 of 3 gateways serve)",
    ]


def test_what_changes_alike_is_shown_once_and_new_files_by_their_length(capsys: pytest.CaptureFixture[str]) -> None:
    files = (
        *(Changed(f"{node}/traefik/x.yml", "changed", LINES) for node in ("gw1", "gw2")),
        Changed("gw3/traefik/x.yml", "added", ("--- /dev/null", "+++ x", "@@ -0,0 +1,2 @@", "+a", "+b")),
        Changed("gw1/secrets", "changed (secret)"),
    )
    assert shown(plan(RESTART, files=files), capsys)[3:] == [
        "changed traefik/x.yml on gw1, gw2",
        "  @@ -1 +1 @@",
        "  -old",
        "  +new",
        "added traefik/x.yml on gw3: 2 lines",
        "secrets on gw1: changed (secret)",
    ]


def test_a_node_that_does_not_answer_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(replace(plan(), untold=(("gw3", "no route to host"),)), brief=True)
    assert "cannot tell what gw3 needs: no route to host" in capsys.readouterr().err


def test_nothing_to_do_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(plan(), capsys) == ["s/t/i: no change"]
