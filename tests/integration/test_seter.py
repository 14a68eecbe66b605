"""seter on the real engine with a small system of its own (`small/`): three nodes, web servers, a note that reloads.

The tests of one deployment run in the order of the file; each leaves it as it found it.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from seter.keep.folder import FolderCells
from seter.keep.interface import SECRETS
from seter.secrets import open_vault
from tests.conftest import Tools
from tests.lab.small import TARGET, Small, deployment, docker


@pytest.fixture(scope="module")
def made(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    with deployment(built, tmp_path_factory.mktemp("small"), f"t{os.getpid()}") as made:
        yield made


@pytest.fixture
def small(made: Small) -> Iterator[Small]:
    """The deployment, converged, and its definitions put back afterwards."""
    made.seter("deploy", "--yes")
    yield made
    made.put_definitions_back()


def test_without_a_yes_and_without_a_terminal_nothing_is_changed(made: Small) -> None:
    ended = made.seter("deploy", code=2)
    assert "--yes" in ended.err
    assert made.containers() == {}


def test_plan_changes_nothing_and_says_so_in_its_exit_code(made: Small) -> None:
    made.seter("plan", "--exit-code", code=3)
    assert made.containers() == {}


def test_a_first_deploy_makes_it_all_and_a_second_touches_nothing(small: Small) -> None:
    before = small.containers()
    assert set(before) == {
        *("w1", "w1.setup", "w1.web", "w2", "w2.setup", "w2.web"),
        *("x1", "x1.setup", "x1.web", "x1.note"),
    }
    assert "no change" in small.seter("deploy", "--yes").out
    small.seter("plan", "--exit-code")
    assert small.containers() == before


def test_every_check_holds_and_status_is_as_wanted(small: Small) -> None:
    small.seter("verify")
    status = small.seter("status", "--json").json()
    assert status["converged"]
    assert {(role["node"], role["role"], role["state"]) for role in status["roles"]} == {
        *((node, "setup", "done") for node in ("w1", "w2", "x1")),
        *((node, "web", "running") for node in ("w1", "w2", "x1")),
        ("x1", "note", "running"),
    }
    web = next(role for role in status["roles"] if role["role"] == "web" and role["node"] == "x1")
    assert web["summary"] == "greets with extra"


def test_a_process_has_its_user_its_capabilities_and_its_secrets_and_no_more(small: Small) -> None:
    words = ("w1", "web", "--", "cat", "/proc/1/status")
    status = dict(line.split(":", 1) for line in small.seter("exec", *words).out.splitlines())
    assert status["Uid"].split() == ["33"] * 4
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {1 << 10}  # NET_BIND_SERVICE
    names = small.seter("exec", "w1", "web", "--", "ls", "/etc/seter/secrets/web").out.split()
    assert names == ["ca.crt", "server.crt", "server.key", "token"]


def test_a_secret_is_in_no_file_of_ours_and_in_no_inspection_in_clear(small: Small) -> None:
    token = small.seter("exec", "w1", "web", "--", "cat", "/etc/seter/secrets/web/token").out.strip()
    assert len(token) >= 32
    ours = [path for path in small.folder.rglob("*") if path.is_file()]
    assert not [path for path in ours if token.encode() in path.read_bytes()]
    assert token not in docker("inspect", f"{small.prefix}.w1.web", f"{small.prefix}.w1")


def test_a_changed_parameter_touches_only_the_role_and_nodes_it_concerns(small: Small) -> None:
    before = small.containers()
    small.edit("small/system.hcl", 'greeting = "extra"', 'greeting = "changed"')
    assert small.steps() == {("write files", "x1", ""), ("restart", "x1", "web"), ("cluster", "x1", "web")}
    small.seter("deploy", "--yes")
    after = small.containers()
    assert {name for name in before if before[name] != after[name]} == {"x1.web"}
    said = small.seter("exec", "x1", "web", "--", "curl", "-s", "http://127.0.0.1/").out
    assert said.startswith("x1 says changed to 10.213.")
    assert said.rstrip().endswith("every 0.1 s")


def test_a_changed_comment_that_renders_the_same_does_nothing(small: Small) -> None:
    template = small.folder / "systems" / "roles" / "web" / "templates" / "index.html.j2"
    template.write_text("{# nobody sees this #}" + template.read_text())
    assert "no change" in small.seter("deploy", "--yes").out


def test_a_role_that_reloads_keeps_its_process(small: Small) -> None:
    before = small.containers()
    small.edit(TARGET, 'node "x1" {', 'node "x1" {\n parameters {\n text = "second"\n }\n')
    assert small.steps() == {("write files", "x1", ""), ("reload", "x1", "note")}
    small.seter("deploy", "--yes")
    assert small.containers() == before
    assert small.seter("exec", "x1", "note", "--", "cat", "/run/note/read").out.strip() == "second"
    assert "no change" in small.seter("deploy", "--yes").out


def test_files_that_the_process_refuses_stop_the_roll_out_before_anything_is_stopped(small: Small) -> None:
    before = small.containers()
    small.edit(TARGET, 'node "x1" {', 'node "x1" {\n parameters {\n text = "refused"\n }\n')
    ended = small.seter("deploy", "--yes", code=6)
    assert "note refuses its new files" in ended.err
    assert small.containers() == before
    assert small.seter("exec", "x1", "note", "--", "cat", "/etc/seter/now/note/text").out.strip() == "first"


def test_new_files_are_judged_by_the_artefact_that_will_read_them(small: Small) -> None:
    judge = '"grep", "-q", "etcd", "/usr/bin/etcd"'  # the artefact that runs has no such file
    small.edit("roles/note/role.hcl", '"grep", "-qv", "refused", "{root}/note/text"', judge)
    note = 'role "note" {\n      artifact = '
    small.edit("small/system.hcl", note + '"container/debian-13"', note + '"container/etcd"')
    small.edit(TARGET, 'node "x1" {', 'node "x1" {\n parameters {\n text = "fifth"\n }\n')
    small.seter("deploy", "--yes")
    assert small.seter("exec", "x1", "note", "--", "cat", "/run/note/read").out.strip() == "fifth"


def test_a_restart_that_got_lost_is_made_up_for(small: Small) -> None:
    """SE-02: new files on disk, the old process still running with the old ones."""
    small.edit("small/system.hcl", 'greeting = "extra"', 'greeting = "lost"')
    small.seter("plan")  # renders
    pages = (small.folder / "state").rglob("x1/web/index.html")
    (page,) = (path for path in pages if "lost" in path.read_text())
    for name in ("index.html", "status.json"):
        docker("cp", str(page.parent / name), f"{small.prefix}.x1:/etc/seter/now/web/{name}")
    assert ("restart", "x1", "web") in small.steps()
    status = small.seter("status", "--json").json()
    assert not next(role for role in status["roles"] if (role["node"], role["role"]) == ("x1", "web"))["converged"]
    small.seter("deploy", "--yes")
    assert "lost" in small.seter("exec", "x1", "web", "--", "curl", "-s", "http://127.0.0.1/").out


def test_a_node_without_power_comes_back_with_all_its_roles_and_the_others_go_on(small: Small) -> None:
    before = small.containers()
    docker("kill", f"{small.prefix}.w2", f"{small.prefix}.w2.web")
    assert ("replace node", "w2", "") in small.steps()
    small.seter("deploy", "--yes")
    after = small.containers()
    assert {name for name in before if before[name] != after[name]} == {"w2", "w2.setup", "w2.web"}
    small.seter("verify")


def test_a_node_that_is_taken_out_of_the_middle_and_put_back_touches_no_other(small: Small) -> None:
    """SE-06."""
    before = small.containers()
    text = '    node "w0" {\n      networks = ["front"]\n    }\n'
    small.edit(TARGET, '    node "w1" {', text + '    node "w1" {')
    assert {node for _, node, _ in small.steps()} >= {"w0"}
    assert not [step for step in small.steps() if step[0] == "replace node"]
    small.seter("deploy", "--yes")
    grown = small.containers()
    assert {name for name in before if name.count(".") == 0 and before[name] != grown[name]} == set()
    small.edit(TARGET, text, "")
    small.seter("deploy", "--yes")
    assert not [name for name in small.containers() if name.startswith("w0")]
    assert {name: life for name, life in small.containers().items() if "." not in name} == {
        name: life for name, life in before.items() if "." not in name
    }


def test_a_certificate_that_ends_within_a_month_is_made_anew_where_it_is(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETER_IDENTITY", small.environment["SETER_IDENTITY"])
    (file,) = (small.folder / "state").rglob(SECRETS)
    vault = open_vault(FolderCells(file.parent), f"small/container/{small.instance}")
    soon = datetime.now(UTC) + timedelta(days=29)
    vault._values["node/w2/web/certificate/server"]["ends"] = soon.isoformat()
    vault._changed = True
    vault.save()
    before, shown = small.containers(), ("w2", "web", "--", "cat", "/etc/seter/secrets/web/server.crt")
    old = small.seter("exec", *shown).out
    assert {(node, role) for _, node, role in small.steps()} <= {("w2", "web"), ("w2", "")} and small.steps()
    ended = small.seter("deploy", "--yes")
    assert f"its certificate ends on {soon:%Y-%m-%d}" in ended.err
    assert small.seter("exec", *shown).out != old
    assert {name for name, was in small.containers().items() if before[name] != was} == {"w2.web"}
    assert "no change" in small.seter("deploy", "--yes").out


def test_a_group_can_be_deployed_alone(small: Small) -> None:
    small.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "good day"')
    small.edit("small/system.hcl", 'greeting = "extra"', 'greeting = "more"')
    small.seter("deploy", "--yes", "--only", "extra")
    assert {node for _, node, _ in small.steps()} == {"w1", "w2"}


def test_a_second_run_is_told_who_holds_the_lease(small: Small) -> None:
    """SE-05."""
    small.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "one"')
    running = small.start("deploy", "--yes")
    lease = small.folder / "state" / "small" / "container" / small.instance / "lease"
    try:
        deadline = time.monotonic() + 30
        while str(running.pid) not in lease.read_text():
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        ended = small.seter("deploy", "--yes", code=7)
        assert str(running.pid) in ended.err
        small.seter("status")
    finally:
        running.wait(timeout=120)
    assert running.returncode == 0


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (signal.SIGKILL, 1.5),
        (signal.SIGINT, 4.0),
        pytest.param(signal.SIGKILL, 4.0, marks=pytest.mark.long),
        pytest.param(signal.SIGINT, 1.5, marks=pytest.mark.long),
    ],
)
def test_a_deploy_that_was_cut_at_any_point_is_finished_by_the_next(
    small: Small, sent: signal.Signals, seconds: float
) -> None:
    small.seter("destroy", "--yes")
    cut = small.start("deploy", "--yes")
    time.sleep(seconds)
    cut.send_signal(sent)
    code = cut.wait(timeout=60)
    assert code in ((130, 0) if sent is signal.SIGINT else (-sent, 0))
    small.seter("deploy", "--yes")
    assert "no change" in small.seter("deploy", "--yes").out
    small.seter("verify")
    assert not list(Path("/dev/shm").glob(f"seter-{cut.pid}-*"))


def test_secrets_survive_destroy_unless_they_are_to_be_forgotten(small: Small) -> None:
    def authority() -> str:
        return small.seter("exec", "w1", "web", "--", "cat", "/etc/seter/secrets/web/ca.crt").out

    before = authority()
    small.seter("destroy", "--yes")
    assert small.containers() == {}
    small.seter("deploy", "--yes")
    assert authority() == before
    small.seter("destroy", "--yes", "--forget")
    small.seter("deploy", "--yes")
    assert authority() != before


def test_nodes_whose_secrets_are_elsewhere_are_left_alone(small: Small, tmp_path: Path) -> None:
    before = small.containers()
    ended = small.with_environment(SETER_STATE=str(tmp_path))(*small.argv("deploy", "--yes"), code=7)
    assert "SETER_STATE" in ended.err
    assert small.containers() == before


def test_destroy_works_when_the_definitions_are_gone(small: Small) -> None:
    shutil.rmtree(small.folder / "systems" / "small")
    small.seter("destroy", "--yes")
    assert small.containers() == {}
    assert not docker("volume", "ls", "--quiet", "--filter", f"label=seter.deployment=small/container/{small.instance}")
    assert not docker(
        "network", "ls", "--quiet", "--filter", f"label=seter.deployment=small/container/{small.instance}"
    )
    (small.folder / "systems" / "small").mkdir()


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("small/system.hcl", 'role "web"', 'role "wep"', ("system.hcl:", 'did you mean "web"?')),
        ("small/system.hcl", "greeting = ", "greting = ", ("system.hcl:", 'did you mean "greeting"?')),
        ("small/system.hcl", '"container/debian-13"', '"container/debian-31"', (".hcl:", "container/debian-13?")),
        (TARGET, '"front", "back"', '"front", "bakc"', ("container.hcl:", 'did you mean "back"?')),
        (TARGET, "networks = ", 'address = "10.0.0.1"\n networks = ', ("container.hcl:", "address")),
        ("roles/web/role.hcl", 'default = "100ms"', 'default = "100"', ("role.hcl:", "duration")),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_message_and_changes_nothing(
    made: Small, file: str, before: str, after: str, said: tuple[str, ...]
) -> None:
    made.put_definitions_back()
    there = made.containers()
    made.edit(file, before, after)
    ended = made.seter("deploy", "--yes", code=2)
    for words in said:
        assert words in ended.err
    assert made.containers() == there


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("plan", "smal", "--target", "container"), "small"),
        (("plan", "small", "--target", "contaner"), "container"),
        (("plan", "small", "--target", "container", "--only", "extar"), "Did you mean extra?"),
        (("plan", "small", "--target", "container", "--instance", "../x"), "instance"),
        (("exec", "small", "w9", "web", "--target", "container", "--", "true"), "w1"),
        (("destroy", "smal", "--target", "container", "--yes"), "small"),
        (("deploi", "small"), "Did you mean seter deploy?"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(made: Small, argv: tuple[str, ...], said: str) -> None:
    made.put_definitions_back()
    assert said in made.with_environment()("seter", *argv, code=2).err


def test_without_an_engine_the_message_says_how_to_get_one(made: Small) -> None:
    ended = made.with_environment(DOCKER_HOST="unix:///nowhere/docker.sock")(*made.argv("plan"), code=2)
    assert "apt-get install docker.io" in ended.err
