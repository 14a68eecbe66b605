"""smie for who writes roles, on the real things: a new role builds, a build that fails can be looked into, progress is
seen on a terminal, and Ctrl-C cleans up once.

The base is the one of the working folder, from its store; what is built here lies in a folder of the test.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import docker
import pytest

from smie.leftovers import LABEL
from tests.conftest import ROOT, Ended, Tools, printed_by
from tests.lab.images import listed

NEW = "smie-author-new"
FAILING = "\n- name: Do what cannot be done\n  ansible.builtin.command: /bin/false\n"
SLOW = "\n- name: Sleep\n  ansible.builtin.command: sleep 300\n"


@dataclass(frozen=True)
class Desk:
    """Definitions of the test, a store of its own that has the base, and smie's workspace of the repository."""

    folder: Path
    tools: Tools

    @property
    def cache(self) -> Path:
        return Path(self.tools.env["SMIE_CACHE"])

    def role(self, name: str, more: str = "", *options: str) -> str:
        """A new role, with more tasks at the end of its installing."""
        folder = self.folder / "systems" / "roles" / name
        shutil.rmtree(folder, ignore_errors=True)
        self.smie("new", "role", name, "--type", "component", *options)
        install = folder / "tasks" / "install.yml"
        install.write_text(install.read_text() + more)
        return name

    def smie(self, *words: str, code: int | None = 0, **env: str) -> Ended:
        return replace(self.tools, env=self.tools.env | env)("smie", *words, code=code)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The same in the background, as the leader of a process group, as a shell starts it."""
        return subprocess.Popen(
            [str(ROOT / ".venv" / "bin" / "smie"), *words],
            cwd=self.folder, env=os.environ | self.tools.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def folders(self, role: str) -> list[Path]:
        """Folders of builds of a role."""
        return [path for path in (self.cache / "work").glob("*") if f".{role}." in path.name]


def containers(role: str) -> list[str]:
    """Ids of containers of builds of a role."""
    found = docker.from_env().containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
    return [one.short_id for one in found if f".{role}." in one.labels[LABEL]]


def wait_for(what: str, is_so: object, seconds: float = 60) -> None:
    assert callable(is_so)
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, tools: Tools) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("author")
    systems, store = folder / "systems", f"file://{folder / 'store'}"
    shutil.copytree(ROOT / "systems" / "roles" / "process", systems / "roles" / "process")
    shutil.copytree(ROOT / "systems" / "bases", systems / "bases")
    tools("smie", "build", "debian-13")
    tools("naust", "copy", "container/debian-13", "--to", store)
    env = {"SETER_SYSTEMS": str(systems), "NAUST_STORE": store, "SMIE_CACHE": str(ROOT / ".smie")}
    made = Desk(folder, Tools(folder, env))
    try:
        yield made
    finally:
        client = docker.from_env()
        for container in containers_of_the_test(client):
            container.remove(force=True)
        for image in listed(client):
            if any(tag.startswith("naust/smie-author-") for tag in image.tags):
                client.images.remove(str(image.id), force=True)
        for path in (*(made.cache / "work").glob("*.smie-author-*"), *(made.cache / "times").glob("*/smie-author-*")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def containers_of_the_test(client: docker.DockerClient) -> list[docker.models.containers.Container]:
    found = client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
    return [one for one in found if ".smie-author-" in one.labels[LABEL]]


@pytest.fixture(autouse=True)
def nothing_is_left(desk: Desk) -> Iterator[None]:
    """After each test no container and no folder of a build is there."""
    yield
    assert containers_of_the_test(docker.from_env()) == []
    assert list((desk.cache / "work").glob("*.smie-author-*")) == []


def test_a_new_role_is_without_fault_and_builds_and_runs(desk: Desk) -> None:
    files = desk.smie("new", "role", NEW, "--package", "hello").out.splitlines()
    assert f"systems/roles/{NEW}/role.hcl" in files and all((desk.folder / file).is_file() for file in files)
    assert desk.smie("lint", NEW).out == "nothing is wrong\n"
    built = desk.smie("build", NEW, "--json").json()[-1]
    assert (built["artifact"], built["act"]) == (f"container/{NEW}", "built")
    image = f"naust/{NEW}"
    tags = [tag for one in listed(docker.from_env()) for tag in one.tags if tag.startswith(f"{image}:")]
    said = printed_by(
        tags[0], "sh", "-c", f'echo \'{{"greeting": "hi"}}\' >/tmp/f; /usr/local/lib/seter/{NEW} check /tmp/f; hello'
    )
    assert said == "it says hi\nHello, world!\n"
    refused = desk.smie("new", "role", NEW, code=7)
    assert "Nothing was written" in refused.err


def test_a_fault_is_told_with_its_line_and_ends_with_1(desk: Desk) -> None:
    name = desk.role("smie-author-faulty", "\n- name: Start it\n  ansible.builtin.service: {name: x, state: started}\n")
    ended = desk.smie("lint", name, code=1)
    assert re.fullmatch(rf"systems/roles/{name}/tasks/install.yml:\d+: starts: task 'Start it' .*\n", ended.out)
    found = desk.smie("lint", name, "--json", code=1).json()
    assert [(one["code"], one["file"]) for one in found] == [("starts", f"systems/roles/{name}/tasks/install.yml")]
    assert "did you mean" in desk.smie("lint", "smie-author-fault", code=2).err.lower()


def test_a_build_that_fails_with_debug_is_left_open_until_its_next_build(desk: Desk) -> None:
    name = desk.role("smie-author-open", FAILING)
    err = desk.smie("build", name, "--debug", code=1).err
    (container,), (folder,) = containers(name), desk.folders(name)
    assert "Do what cannot be done" in err and "Traceback" in err
    entry = f"docker exec --interactive --tty {container[:12]} bash"
    assert entry in err and f"Its files:      {folder}" in err
    said = subprocess.run(
        ["docker", "exec", container, "bash", "-c", f"test -x /usr/local/lib/seter/{name} && apt-get check"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    desk.smie("build", desk.role("smie-author-other"))
    assert containers(name) == [container] and desk.folders(name) == [folder]
    desk.role(name)
    swept = desk.smie("build", name).err
    assert "was left open by --debug" in swept
    assert containers(name) == [] and desk.folders(name) == []


def test_the_last_line_says_how_to_remove_what_was_left_open(desk: Desk) -> None:
    name = desk.role("smie-author-remove", FAILING)
    err = desk.smie("--debug", "build", name, code=1).err
    command = next(line for line in err.splitlines() if line.startswith("Remove it:")).partition(":")[2]
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=60)
    assert containers(name) == [] and desk.folders(name) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_clean_up_once_however_many_come(desk: Desk, number: int) -> None:
    names = [desk.role(f"smie-author-slow-{each}", SLOW) for each in ("a", "b")]
    logs = [desk.cache / "logs" / "container" / f"{name}.log" for name in names]
    for log in logs:
        log.unlink(missing_ok=True)
    process = desk.start("build", *names, "--debug", "--jobs", "2")
    wait_for("both builds", lambda: all(log.exists() and ": Sleep]" in log.read_text() for log in logs))
    for _ in range(3):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        time.sleep(0.05)  # all is cleaned up within a third of a second
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    first, second = (f"container/{name}" for name in names)
    assert err.splitlines()[-1] == (
        f"smie: interrupted; {first} and {second} were stopped, and no container, folder or process of it is left"
    )
    assert err.count("interrupted") == 1 and "cleaning up; this ends by itself" in err and "Traceback" not in err
    assert not [name for name in names if containers(name) or desk.folders(name)]
    told = subprocess.run(["pgrep", "--full", "smie-author-slow"], capture_output=True, text=True)
    assert told.stdout == ""
    for log in logs:
        log.unlink()


def test_a_terminal_shows_a_row_with_task_time_and_what_is_expected(desk: Desk) -> None:
    """The time of the first build is what the second expects."""
    name = desk.role("smie-author-rows")
    desk.smie("build", name)
    seconds = json.loads((desk.cache / "times" / "container" / f"{name}.json").read_text())["seconds"]
    assert seconds > 1
    desk.role(name, "\n- name: Take a moment\n  ansible.builtin.command: sleep 2\n")
    text = drawn(desk, "build", name)
    assert f"container/{name}"[:23] in text
    assert "Take a mom" in text and re.search(r"\d+ s of +\d+ s [█░]{10} +\d+%", text)
    assert "0 of 1 done, about" in text and f"built     container/{name}: in " in text
    assert max(len(line) for line in rows(text)) < 80


def drawn(desk: Desk, *words: str) -> str:
    """What a terminal of 80 columns gets of a command."""
    ours, theirs = pty.openpty()
    env = os.environ | desk.tools.env | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24", "NO_COLOR": "1"}
    argv = [str(ROOT / ".venv" / "bin" / "smie"), *words]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=desk.folder, env=env) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # EIO: nobody has the other end any more (pty(7))
                break
            text += part
        os.close(ours)
        assert process.wait() == 0, text.decode()
    return text.decode()


def rows(text: str) -> list[str]:
    """The rows that were drawn, without what moves the cursor."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return [line for line in re.split(r"[\r\n]+", plain) if "█" in line or "░" in line or " done" in line]


def test_builds_side_by_side_keep_to_the_memory_that_they_may_use(desk: Desk) -> None:
    names = [desk.role(f"smie-author-narrow-{each}") for each in ("a", "b")]
    err = desk.smie("build", *names, "--jobs", "2", "--memory", "600MiB").err
    order = [kind for kind, name in re.findall(r"(builds|built) +container/(smie-author-narrow-\w)", err)]
    assert order == ["builds", "built", "builds", "built"]
    assert "--memory" in desk.smie("build", *names, "--memory", "much", code=2).err
