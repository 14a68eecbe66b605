"""Checks on the real things: what is not as its role promises gets no name, and leaves nothing in the engine.

Roles are small ones of the test, on Debian 13 as we ship it. Store and definitions lie in a folder of the test.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import docker
import pytest

from smie.builder.container import CHECKED
from smie.leftovers import LABEL
from tests.conftest import ROOT, Tools
from tests.integration.test_smie import Bench, wait_for
from tests.lab.images import listed

BASE = "debian-13"
HOLDS = "def test_the_file_is_there(host):\n    assert host.file('/usr/local/file').content_string == 'x'\n"
FAILS = HOLDS.replace("'x'", "'another'")
HANGS = "import time\n\ndef test_it_comes_to_an_end(host):\n    host.run('sleep 60')\n"
WRITES = "- ansible.builtin.copy: {content: 'x', dest: /usr/local/file, mode: '%s'}\n"


@dataclass(frozen=True)
class Checks(Bench):
    """The bench of test_smie.py with roles that have checks."""

    def checked(self, name: str, check: str, tasks: str = WRITES % "0644", image: str = "", more: str = "") -> str:
        self.role(name, tasks, base=BASE, image=image)
        hcl = self.folder / "systems" / "roles" / name / "role.hcl"
        hcl.write_text(hcl.read_text().replace("  image", f"{more}\n  image", 1))
        folder = hcl.parent / "checks"
        folder.mkdir(exist_ok=True)
        (folder / "test_it.py").write_text(check)
        return name


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory, tools: Tools) -> Iterator[Checks]:
    """The base out of the working folder's store, where it is built when it is not there."""
    folder = tmp_path_factory.mktemp("checks")
    tools("smie", "build", BASE)
    for part in ("bases", "roles/process"):
        shutil.copytree(ROOT / "systems" / part, folder / "systems" / part)
    store = f"file://{folder / 'store'}"
    tools("naust", "copy", f"container/{BASE}", "--from", str(ROOT / ".naust"), "--to", store)
    env = {
        "SETER_SYSTEMS": str(folder / "systems"), "NAUST_STORE": store,
        "SMIE_CACHE": str(ROOT / ".smie"),  # the index by which the base was built
    }  # fmt: skip
    try:
        yield Checks(folder, Tools(folder, env))
    finally:
        client = docker.from_env()
        for image in listed(client):
            if any("/smie-check-" in tag or tag.startswith(CHECKED) for tag in image.tags):
                client.images.remove(str(image.id), force=True)


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test the engine holds no container and no image that is being checked."""
    yield
    if "checks" in request.fixturenames:
        assert engine_holds("smie-check-") == []


def engine_holds(name: str) -> list[str]:
    """Containers and names of images that belong to checks of artefacts that are called so."""
    client = docker.from_env()
    containers = client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
    labels = [one.labels[LABEL] for one in containers if f".{name}" in one.labels[LABEL]]
    return labels + [tag for image in listed(client, CHECKED) for tag in image.tags if f".{name}" in tag]


@pytest.fixture(scope="module")
def attempt(checks: Checks) -> dict[str, dict[str, Any]]:
    """Roles that are built side by side, by their names without `smie-check-`: how each came out."""
    special = "- ansible.builtin.copy: {content: '', dest: /usr/bin/special, mode: '4755'}\n"
    names = (
        checks.checked("smie-check-good", HOLDS, WRITES % "0644" + special, more='  setuid = ["/usr/bin/special"]'),
        checks.checked("smie-check-bad", FAILS, WRITES % "0666" + special, image='    size_at_most = "10MiB"'),
        checks.checked("smie-check-broken", "this is no Python\n"),
    )
    ended = checks.smie("build", *names, "--json", code=4)
    return {entry["artifact"].removeprefix("container/smie-check-"): entry for entry in ended.json()}


def test_what_its_checks_hold_for_is_stored(checks: Checks, attempt: dict[str, dict[str, Any]]) -> None:
    assert attempt["good"]["act"] == "built"
    assert attempt["good"]["steps"]["check"] > 0
    assert checks.is_stored("smie-check-good")


def test_a_failed_check_names_role_promise_assertion_log_and_how_to_repeat_it(
    checks: Checks, attempt: dict[str, dict[str, Any]]
) -> None:
    error = attempt["bad"]["error"]
    assert "container/smie-check-bad: 4 of 12 checks failed" in error
    assert "smie-check-bad: the file is there" in error
    assert "assert 'x' == 'another'" in error
    assert "smie build smie-check-bad" in error
    log = ROOT / ".smie" / "logs" / "container" / "smie-check-bad.checks.log"
    assert str(log) in error and "assert 'x' == 'another'" in log.read_text()


@pytest.mark.parametrize(
    ("promise", "fault"),
    [
        ("it is no larger than its budget", "10.0 MiB are allowed by size_at_most"),
        ("no file is setuid or setgid but those that its definition names", "'/usr/bin/special'"),
        ("nothing can be written by everybody", "'/usr/local/file'"),
    ],
)
def test_what_no_artefact_may_have_is_named(attempt: dict[str, dict[str, Any]], promise: str, fault: str) -> None:
    _, _, said = attempt["bad"]["error"].partition(f"every artefact: {promise}\n")
    assert fault in said.splitlines()[0]


def test_what_failed_its_checks_or_could_not_be_checked_has_no_name(
    checks: Checks, attempt: dict[str, dict[str, Any]]
) -> None:
    assert "SyntaxError" in attempt["broken"]["error"]
    for name in ("bad", "broken"):
        assert attempt[name]["act"] == "failed" and not checks.is_stored(f"smie-check-{name}")


def test_checks_are_repeated_without_a_build_and_a_changed_one_is_seen(
    checks: Checks, attempt: dict[str, dict[str, Any]]
) -> None:
    junit = checks.folder / "results.xml"
    (told,) = checks.smie("test", "smie-check-good", "--json", "--junit", str(junit)).json()
    assert told["ok"] and told["digest"] == attempt["good"]["digest"]
    assert {"about": "smie-check-good", "promise": "the file is there", "ok": True}.items() <= told["checks"][
        -1
    ].items()
    (suite,) = ElementTree.fromstring(junit.read_text())
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("container/smie-check-good", "12", "0")
    assert suite[-1].get("classname") == "smie-check-good"
    file = checks.folder / "systems" / "roles" / "smie-check-good" / "checks" / "test_it.py"
    file.write_text(FAILS)
    try:
        ended = checks.smie("test", "smie-check-good", BASE, "--json", code=1)
        assert [one["ok"] for one in ended.json()] == [True, False]
        assert "the file is there" in ended.err
    finally:
        file.write_text(HOLDS)
    assert "smie build smie-check-bad" in checks.smie("test", "smie-check-bad", code=2).err


def test_a_hanging_check_is_ended_and_named(checks: Checks, attempt: dict[str, dict[str, Any]]) -> None:
    file = checks.folder / "systems" / "roles" / "smie-check-good" / "checks" / "test_it.py"
    file.write_text(HANGS)
    try:
        ended = checks.smie("test", "smie-check-good", "--time-limit", "10s", code=1)
    finally:
        file.write_text(HOLDS)
    assert "did not end within 10 s" in ended.err
    assert "The check test_it_comes_to_an_end was the last that began." in ended.err


def test_a_build_that_is_killed_while_it_is_checked_leaves_no_name_and_the_next_clears_up(checks: Checks) -> None:
    name = checks.checked("smie-check-killed", HANGS)
    process = checks.start("build", name)
    wait_for("a check", lambda: len(engine_holds(name)) == 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not checks.is_stored(name)
    (checks.folder / "systems" / "roles" / name / "checks" / "test_it.py").write_text(HOLDS)
    ended = checks.smie("build", name)
    assert "was left by a build that was killed" in ended.err
    assert checks.is_stored(name)


def test_a_person_s_pytest_settings_and_network_have_no_say(checks: Checks) -> None:
    (checks.folder / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")
    (checks.folder / "conftest.py").write_text("raise RuntimeError('nobody asked for it')\n")
    alone = HOLDS + (
        "\ndef test_nothing_can_be_reached(host):\n"
        "    import socket\n"
        "    assert [name for _, name in socket.if_nameindex()] == ['lo']\n"
        "    assert host.check_output('ls /sys/class/net') == 'lo'\n"
        "    assert host.run('touch /usr/local/more').rc != 0\n"
    )
    try:
        checks.smie("build", checks.checked("smie-check-alone", alone), PYTEST_ADDOPTS="--nonsense")
    finally:
        (checks.folder / "pytest.ini").unlink()
        (checks.folder / "conftest.py").unlink()


def test_our_roles_keep_what_they_promise(built: Tools) -> None:
    told = built("smie", "test", "traefik", "bird-gateway", "radosgw", "--json").json()
    assert [one["artifact"] for one in told] == ["container/traefik", "container/bird-gateway", "container/radosgw"]
    assert all(len({check["about"] for check in one["checks"]}) > 1 for one in told)


@pytest.mark.long
def test_all_roles_and_bases_keep_what_they_promise(built: Tools) -> None:
    told = built("smie", "test", "--all", "--kind", "container", "--json", timeout=900).json()
    assert len(told) >= 14
    assert json.dumps(told).count('"ok": false') == 0
