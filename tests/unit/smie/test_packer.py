"""Packer's output is read as it is meant, and what it says it made is looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import Corrupt, Error
from smie.packer import BuildFailed, Log, ansible_environment, argv, built, said, version


@pytest.mark.parametrize(("text", "expected"), [("1.6.6\n", (1, 6)), ("Packer v1.12.0\n", (1, 12))])
def test_the_version_is_read_in_both_forms(text: str, expected: tuple[int, int]) -> None:
    assert version(text) == expected


def test_a_version_that_is_none_is_an_error() -> None:
    with pytest.raises(Error, match="does not tell its version"):
        version("what?")


@pytest.mark.parametrize(("user", "more"), [(0, ()), (1000, ("--map-current-user",))])
def test_packer_has_no_network_and_ends_when_smie_is_killed(
    monkeypatch: pytest.MonkeyPatch, user: int, more: tuple[str, ...]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert argv(Path("build.pkr.json")) == (
        "setpriv", "--pdeathsig", "TERM", "--", "unshare", *more, "--net", "--",
        "packer", "build", "-machine-readable", "-on-error=cleanup", "build.pkr.json",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1795571195,,ui,message,    docker.image: TASK [a%!(PACKER_COMMA) b] ***", ["TASK [a, b] ***"]),
        ("1795571195,,ui,say,==> docker.image: one\\ntwo", ["one", "two"]),
        ("1795571195,,ui,error,plain", ["plain"]),
        ("1795571195,docker.image,artifact,0,files-count,0", []),
        ("1795571195,,error-count,1", []),
        ("something else", ["something else"]),
    ],
)
def test_lines_for_people_are_taken_out_of_the_machines(line: str, expected: list[str]) -> None:
    assert list(said(line)) == expected


def test_a_log_remembers_task_and_end_and_keeps_all(tmp_path: Path) -> None:
    tasks: list[str] = []
    log = Log(tmp_path / "logs" / "bird.log", tasks.append)
    log.take("stdout", "1,,ui,message,    docker.image: TASK [bird : Install packages] *****")
    for number in range(50):
        log.take("stdout", f"1,,ui,message,    docker.image: line {number}")
    assert tasks == [log.task] == ["bird : Install packages"]
    assert len(log.path.read_text().splitlines()) == 51
    assert list(log.end)[-1] == "line 49"
    assert len(log.end) == 30


def test_a_failure_names_task_log_and_repetition(tmp_path: Path) -> None:
    log = Log(tmp_path / "bird.log", lambda task: None)
    log.take("stdout", "1,,ui,message,    docker.image: TASK [bird : Install packages] *****")
    log.take("stdout", "1,,ui,message,    docker.image: fatal: no such package")
    error = BuildFailed("container/bird", log)
    assert error.message == "building container/bird failed in the task 'bird : Install packages'"
    assert "fatal: no such package" in error.details
    assert str(log.path) in error.resolution
    assert error.resolution.endswith("smie build bird")


def manifest(work: Path, size: int) -> None:
    files = [{"name": "layer.tar", "size": size}]
    (work / "manifest.json").write_text(json.dumps({"builds": [{"files": files, "artifact_id": "files"}]}))


def test_what_packer_made_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "layer.tar").write_bytes(b"abc")
    manifest(tmp_path, 3)
    assert built(tmp_path, ["layer.tar"]) == (tmp_path / "layer.tar",)


@pytest.mark.parametrize("case", ["no manifest", "no file", "another size", "not listed", "no JSON"])
def test_a_success_without_its_artefact_is_none(tmp_path: Path, case: str) -> None:
    if case != "no file":
        (tmp_path / "layer.tar").write_bytes(b"abc")
    if case != "no manifest":
        manifest(tmp_path, 4 if case == "another size" else 3)
    if case == "no JSON":
        (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(Corrupt):
        built(tmp_path, ["other.tar" if case == "not listed" else "layer.tar"])


def test_nothing_is_written_into_the_home_of_who_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    env = ansible_environment(tmp_path, tmp_path / "t", Path("/roles"))
    assert {name for name, value in env.items() if "/home/alice" in value} <= {"PATH", "PACKER_PLUGIN_PATH"}
    assert env["HOME"].startswith(str(tmp_path))
    assert env["ANSIBLE_ROLES_PATH"] == "/roles"


def test_credentials_in_the_environment_do_not_reach_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAUST_TOKEN", "canary")
    assert "canary" not in ansible_environment(tmp_path, tmp_path, tmp_path).values()
