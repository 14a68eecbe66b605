"""Packer's output is read as it is meant, and what it says it made is looked at."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from common.errors import Corrupt, Error, Unavailable
from common.run import CommandFailed, Result
from smie.failed import BuildFailed, EngineLost, TookTooLong
from smie.isolation import guarded
from smie.packer import Log, ansible_environment, argv, built, said, version


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
    assert argv(Path("build.pkr.json"), partial(guarded, ending="TERM")) == (
        "setpriv", "--pdeathsig", "KILL", "--", "unshare", *more, "--net", "--pid", "--fork", "--kill-child=TERM", "--",
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
    for name in ("NAUST_TOKEN", "https_proxy", "PIP_INDEX_URL", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/other.sock")
    env = ansible_environment(tmp_path, tmp_path, tmp_path)
    assert "canary" not in env.values() and env["DOCKER_HOST"] == "unix:///run/other.sock"


def test_a_log_on_a_full_disk_still_remembers_its_end(tmp_path: Path) -> None:
    log = Log(tmp_path / "bird.log", lambda task: None)
    log.path.unlink()
    log.path.symlink_to("/dev/full")
    log.write("no space left on device")
    assert list(log.end) == ["no space left on device"]


def test_what_took_too_long_and_what_lost_its_engine_say_as_much_as_what_failed(tmp_path: Path) -> None:
    log = Log(tmp_path / "bird.log", lambda task: None)
    log.take("stdout", "1,,ui,message,    docker.image: TASK [bird : Install packages] *****")
    log.write("the last line")
    lost = Unavailable("x", details="no such socket", resolution="Start it.")
    for error in (TookTooLong("rootfs/bird", log, timedelta(seconds=8)), EngineLost("rootfs/bird", log, lost)):
        assert "'bird : Install packages'" in str(error) and "the last line" in error.details
        assert str(log.path) in error.resolution and error.resolution.endswith("smie build bird --kind rootfs")


def test_who_was_killed_is_told_apart_from_who_failed(tmp_path: Path) -> None:
    log = Log(tmp_path / "bird.log", lambda task: None)
    killed = BuildFailed("container/bird", log, CommandFailed(("packer",), Result(-9, "", "")))
    failed = BuildFailed("container/bird", log, CommandFailed(("packer",), Result(1, "", "")))
    assert "was killed" in killed.details and not failed.details
    log.write("unshare: sigprocmask unblock failed: Invalid argument")
    assert BuildFailed("container/bird", log).details == killed.details
