"""seter on hosts: machines with systemd and a real SSH server, as the small system's nodes.

The tests run in the order of the file on one deployment; each leaves it as it found it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from smie.otherwise import library
from tests.conftest import ROOT, Ended, Tools
from tests.lab.hosts import Host, Hosts, hosts
from tests.lab.programs import program
from tests.lab.small_on_hosts import definitions, power, target
from tests.lab.starts import Counted

GROUPS = {"servers": ["w1", "w2"], "extra": ["x1"]}
NETWORKS = {"w1": ("front", "back"), "w2": ("front",), "x1": ("back",)}
SAMPLE = 16  # programs at which a deploy is killed, of all that it starts
NO_OP_WITHIN = 5.0  # seconds, for three hosts
STILL_WITHIN = 60.0  # seconds that a host which stopped answering may hold us up


@dataclass(frozen=True)
class Field:
    """A deployment of the small system on hosts."""

    tools: Tools
    folder: Path
    lab: Hosts

    def seter(self, verb: str, *words: str, code: int | None = 0) -> Ended:
        return self.tools("seter", verb, "small", "--target", "metal", *words, code=code)

    @contextmanager
    def deploying(self) -> Iterator[subprocess.Popen[str]]:
        """A deploy that goes on; what is left of it ends with the block."""
        argv = [str(ROOT / ".venv" / "bin" / "seter"), "deploy", "small", "--target", "metal", "--yes"]
        env = os.environ | self.tools.env
        process = subprocess.Popen(argv, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def point(self, *more: str, pinned: bool = True, user: str = "ops") -> None:
        """Write the target; `more` are lines of its own."""
        text = target(self.lab, GROUPS, *more, pinned=pinned, user=user)
        (self.folder / "definitions" / "small" / "targets" / "metal.hcl").write_text(text)

    def greet(self, greeting: str) -> None:
        """Change what servers say, which concerns w1 and w2."""
        system = self.folder / "definitions" / "small" / "system.hcl"
        lines = system.read_text().splitlines(keepends=True)
        told = [f'    greeting = "{greeting}"\n' if line.startswith("    greeting =") else line for line in lines]
        system.write_text("".join(told))

    def steps(self) -> set[tuple[str, str, str]]:
        plan = self.seter("plan", "--json").json()
        return {(step["act"], step["node"], step["role"]) for step in plan["steps"]}

    def states(self) -> dict[str, set[str]]:
        """Node → states of its roles."""
        found: dict[str, set[str]] = {}
        for row in self.seter("status", "--json").json()["roles"]:
            found.setdefault(row["node"], set()).add(row["state"])
        return found


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    folder = tmp_path_factory.mktemp("hosts")
    env = {
        "SETER_SYSTEMS": str(definitions(folder)),
        "SETER_STATE": str(folder / "state"),
        "SETER_IDENTITY": str(folder / "identity"),
    }
    with hosts(folder, NETWORKS) as lab:
        yield Field(Tools(ROOT, env), folder, lab)


@pytest.fixture(scope="module")
def place(field: Field) -> Field:
    """With the system deployed on it; also when the tests that do so are not selected."""
    field.point(pinned=False)
    field.seter("trust", "--yes")
    field.seter("deploy", "--yes")
    return field


def test_a_host_is_learnt_by_a_word_and_never_by_the_way(field: Field) -> None:
    field.point(pinned=False)
    refused = field.seter("deploy", "--yes", code=5)
    assert "the host key of w1 is not known" in refused.err, refused.err
    assert "no terminal" in field.seter("trust", code=2).err
    shown = field.seter("trust", "--yes", "--json").json()
    own = {name: " ".join(host.key.split()[:2]) for name, host in field.lab.machines.items()}
    assert {each["host"]: each["key"] for each in shown} == own
    assert {each["state"] for each in shown} == {"new"}
    assert {each["state"] for each in field.seter("trust", "--json").json()} == {"known"}
    assert field.states()["w1"] == {"missing"}


def test_who_wants_it_to_stop_while_software_is_installed_waits_less_than_a_minute(field: Field) -> None:
    with field.deploying() as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "install" in line)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        process.stderr.read()
        assert process.wait(120) == 130 and time.monotonic() - started < STILL_WITHIN
    left = subprocess.run(["pgrep", "--full", f"smie apply small.*{field.folder}"], capture_output=True, text=True)
    assert left.stdout == ""


def test_what_was_deployed_is_there_and_nothing_is_left_to_do(place: Field) -> None:
    started = time.monotonic()
    assert "no change" in place.seter("deploy", "--yes").out
    assert time.monotonic() - started < NO_OP_WITHIN
    assert place.states() == {"w1": {"done", "running"}, "w2": {"done", "running"}, "x1": {"done", "running"}}
    assert "hello" in place.lab["w2"].run("curl", "-s", f"http://{place.lab['w1'].address}/index.html")
    assert place.lab["w1"].run("stat", "-c", "%a %U", "/etc/seter/secrets/web/token") == "400 www-data"
    said = place.seter("exec", "w1", "web", "--", "id", "-un").out
    assert said.strip() == "www-data"


def test_where_a_package_runs_is_what_hosts_say_themselves(place: Field) -> None:
    found = place.seter("status", "--affected", "libc6<99", "--json").json()
    assert found["looked_at"] == 7 and {(each["node"], each["by"]) for each in found["affected"]} == {
        ("w1", "host"), ("w2", "host"), ("x1", "host"),
    }  # fmt: skip
    assert "0 of 7 processes" in place.seter("status", "--affected", "libc6<2").err


def test_a_canary_that_fails_goes_back_and_no_other_host_is_touched(place: Field) -> None:
    """Its process exits at once. The same unit with the same files runs afterwards, and nothing is left to do."""
    role = place.folder / "definitions" / "roles" / "web" / "role.hcl"
    text, since = role.read_text(), place.lab["w2"].run("systemctl", "show", "-P", "InvocationID", "seter-web")
    role.write_text(text.replace('["python3", "-m"', '["false", "-m"'))
    place.greet("good night")
    try:
        assert "put back: w1" in place.seter("deploy", "--yes", code=6).err
    finally:
        role.write_text(text)
        place.greet("hello")
    assert "hello" in place.lab["w1"].run("curl", "-s", "http://127.0.0.1/index.html")
    assert place.lab["w2"].run("systemctl", "show", "-P", "InvocationID", "seter-web") == since
    assert "no change" in place.seter("deploy", "--yes").out


def test_an_earlier_run_is_gone_back_to_while_packages_are_the_same(place: Field) -> None:
    first = next(run["number"] for run in place.seter("history", "--json").json() if run["result"] == "done")
    place.greet("good evening")
    place.seter("deploy", "--yes")
    place.seter("rollback", str(first), "--yes")
    place.greet("hello")
    assert "hello" in place.lab["w1"].run("curl", "-s", "http://127.0.0.1/index.html")
    assert "no change" in place.seter("deploy", "--yes").out


def test_whatever_was_changed_by_hand_shows_and_is_mended(place: Field) -> None:
    w1, w2, x1 = (place.lab[name] for name in ("w1", "w2", "x1"))
    w1.run("sh", "-c", "echo changed >/etc/seter/now/web/index.html")
    w2.run("systemctl", "stop", "seter-web")
    x1.run("sed", "-i", 's/"artifact": "/&un/', "/etc/seter/installed/note")
    assert place.steps() >= {
        ("write files", "w1", ""), ("start", "w2", "web"), ("restart", "x1", "note"),
    }  # fmt: skip
    place.seter("deploy", "--yes")
    assert place.steps() == set()
    assert "hello" in w1.run("cat", "/etc/seter/now/web/index.html")


def test_a_host_that_starts_again_has_its_processes_by_itself(place: Field) -> None:
    x1 = place.lab["x1"]
    x1.power("kill")
    x1.power("start")
    deadline = time.monotonic() + 60
    while place.seter("status", "--json").json()["converged"] is False and time.monotonic() < deadline:
        assert {step for step in place.steps() if step[0] != "cluster"} == set() or time.monotonic() < deadline
        place.seter("deploy", "--yes", code=None)
    assert place.states()["x1"] == {"done", "running"}


def refused(place: Field, name: str, *words: str) -> Ended:
    """Status says it of this host alone, in time; deploy stops before anything is touched."""
    started = time.monotonic()
    states = place.states()
    assert time.monotonic() - started < STILL_WITHIN
    assert states.pop(name) == {"unknown"} and all("unknown" not in others for others in states.values())
    ended = place.seter("deploy", "--yes", code=5)
    assert all(word in ended.err for word in (name, "Nothing was changed", *words)), ended.err
    return ended


def test_a_dead_host_is_named_and_hides_no_other(place: Field) -> None:
    place.lab["w2"].power("kill")
    try:
        refused(place, "w2", "cannot be reached by SSH")
    finally:
        place.lab["w2"].power("start")
    await_ssh(place, "w2")


def await_ssh(place: Field, *names: str) -> None:
    deadline = time.monotonic() + 60
    while any("unknown" in place.states()[name] for name in names):
        assert time.monotonic() < deadline
    place.seter("deploy", "--yes")


def drop(host: str, lab: Hosts, chain: Sequence[str]) -> None:
    for line in ("add table inet lab", "add chain inet lab in { type filter hook input priority 0; }", *chain):
        lab[host].run("nft", line)


@pytest.mark.long
def test_packets_dropped_after_login_hold_nobody_up(place: Field) -> None:
    place.seter("status")  # so that a connection is open
    drop("w2", place.lab, ["add rule inet lab in tcp dport 22 drop"])
    try:
        refused(place, "w2", "w2")
    finally:
        place.lab["w2"].run("nft", "delete", "table", "inet", "lab")
    await_ssh(place, "w2")


@pytest.mark.long
def test_another_key_than_the_known_one_is_refused(place: Field) -> None:
    w2 = place.lab["w2"]
    w2.run("sh", "-c", "cd /etc/ssh && cp -p ssh_host_ed25519_key ssh_host_ed25519_key.pub /root")
    w2.run("sh", "-c", "cd /etc/ssh && rm ssh_host_*_key* && ssh-keygen -A >/dev/null && systemctl restart ssh")
    kill_connections()
    try:
        refused(place, "w2", "shows another host key")
        changed = place.seter("trust", "w2", code=2)
        assert "w2: changed: SHA256:" in changed.err
    finally:
        w2.run("sh", "-c", "cp -p /root/ssh_host_ed25519_key* /etc/ssh && systemctl restart ssh")
    await_ssh(place, "w2")


def kill_connections() -> None:
    """End what is shared, so that the next call logs in anew."""
    time.sleep(0.1)
    for socket in Path("/tmp").glob("seter-ssh-*/*"):
        subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"], capture_output=True, timeout=20)


@pytest.mark.long
def test_a_user_who_may_not_become_root_is_told(place: Field) -> None:
    w1 = place.lab["w1"]
    w1.run("mv", "/etc/sudoers.d/ops", "/root/ops")
    try:
        refused(place, "w1", "may not become root")
    finally:
        w1.run("mv", "/root/ops", "/etc/sudoers.d/ops")
    await_ssh(place, "w1")


@pytest.mark.long
def test_few_sessions_and_few_strangers_at_once_are_enough(place: Field) -> None:
    w1 = place.lab["w1"]
    w1.run("sh", "-c", "printf 'MaxSessions 1\\nMaxStartups 1:90:2\\n' >/etc/ssh/sshd_config.d/few.conf")
    w1.run("systemctl", "restart", "ssh")
    kill_connections()
    try:
        assert all("good" in line for line in place.seter("verify").out.splitlines())
        assert "no change" in place.seter("deploy", "--yes").out
    finally:
        w1.run("sh", "-c", "rm /etc/ssh/sshd_config.d/few.conf && systemctl restart ssh")


@pytest.mark.long
def test_a_host_that_dies_in_the_middle_is_finished_by_the_next_deploy(place: Field) -> None:
    place.greet("good morning")
    with place.deploying() as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "w1: switched" in line)
        place.lab["w1"].power("kill")
        rest = process.stderr.read()
        assert process.wait(180) in (1, 5, 9) and "w1" in rest, rest
    assert "hello" in place.lab["w2"].run("cat", "/etc/seter/now/web/index.html")
    place.lab["w1"].power("start")
    await_ssh(place, "w1")
    assert place.steps() == set()
    assert "good morning" in place.lab["w1"].run("cat", "/etc/seter/now/web/index.html")


@pytest.mark.long
def test_a_connection_that_breaks_in_the_middle_of_a_task_is_told_and_made_up_for(place: Field) -> None:
    place.greet("good evening")
    with place.deploying() as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "Start web: w1" in line)
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            place.lab["w1"].run("pkill", "--full", "sshd-session", check=False)
        rest = process.stderr.read()
        assert process.wait(180) in (1, 5, 6, 9) and "w1" in rest, rest
    await_ssh(place, "w1")
    assert place.steps() == set()
    assert "good evening" in place.lab["w2"].run("cat", "/etc/seter/now/web/index.html")


@pytest.mark.long
def test_a_host_without_power_is_given_it_by_the_target_s_own_commands(place: Field) -> None:
    place.point(*power(place.lab.prefix))
    place.lab["x1"].power("kill")
    assert ("replace node", "x1", "") in place.steps()
    place.seter("deploy", "--yes")
    assert place.states()["x1"] == {"done", "running"}


def test_hosts_behind_another_one_are_reached_over_it(place: Field) -> None:
    place.point(f'jump = "ops@{place.lab["w1"].address}"', pinned=True)
    shown = place.seter("trust", "--yes", "--json").json()
    assert [(each["host"], each["key"]) for each in shown] == [
        ("seter-jump", " ".join(place.lab["w1"].key.split()[:2]))
    ]
    assert "no change" in place.seter("deploy", "--yes").out
    place.point()


STILL = ("FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC")  # both names of it are in use
PORTRAIT = """cd /etc/seter && find -L now secrets cluster installed -type f -exec sha256sum {} + | sort
readlink now secrets; ls; cat /run/seter/process/* /etc/systemd/system/seter-*
systemctl is-active seter-* && systemctl is-enabled $(cd /etc/systemd/system && ls seter-*)"""


def portrait(place: Field) -> dict[str, str]:
    """What a person could tell of the hosts who had not seen how it came about."""
    return {name: host.run("sh", "-c", PORTRAIT) for name, host in place.lab.machines.items()}


def sweep(place: Field, sample: int, folder: Path) -> tuple[int, int]:
    """Deploys that are killed as a program begins, at so many points, or all of them with 0; each is finished by the
    next, and leaves what an undisturbed one does. How many points there are, and at how many something was killed."""
    counted, env = Counted.made(folder / "counted"), place.tools.env
    argv, ends = ("seter", "deploy", "small", "--target", "metal", "--yes"), {}
    place.greet("two")
    place.seter("deploy", "--yes")
    ends["two"] = portrait(place)
    place.greet("one")
    code, starts, said = counted.run(argv, env)
    ends["one"] = portrait(place)
    assert code == 0 and {"ssh", "ansible-playbook", "smie"} <= set(starts), (starts, said)
    points = range(1, len(starts) + 1)
    # Now and then a deploy needs fewer programs, so a sample is not taken from the last.
    chosen = sorted(random.Random(8).sample(points[: len(points) * 3 // 4], sample)) if sample else points
    print(f"\n{len(starts)} programs; killed at {len(chosen)} of them")
    killed = 0
    for number, point in enumerate(chosen):
        word = ("two", "one")[number % 2]
        place.greet(word)
        code, _, said = counted.run(argv, env, killed_at=point)
        assert code in (0, -signal.SIGKILL), (point, code, said)
        killed += code != 0
        place.seter("deploy", "--yes")
        assert portrait(place) == ends[word], f"killed at start {point}, {starts[point - 1]}"
        assert place.steps() == set(), f"killed at start {point}, {starts[point - 1]}"
    return len(starts), killed


def test_a_deploy_that_is_killed_as_it_starts_a_program_is_finished_by_the_next(place: Field, tmp_path: Path) -> None:
    """At one point; the sweep over all takes long."""
    points, killed = sweep(place, 1, tmp_path)
    assert points > 2 and killed == 1


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_deploy_that_is_killed_at_any_program_that_it_starts_ends_as_an_undisturbed_one(
    place: Field, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At some 65 of them it takes three quarters of an hour: SWEEP=all."""
    some = 0 if os.environ.get("SWEEP") == "all" else SAMPLE
    with capsys.disabled():
        points, killed = sweep(place, some, tmp_path)
        print(f"\n{points} programs, killed at {killed}")
    assert killed >= (some or points) * 9 // 10  # now and then a deploy needs fewer


def test_a_wrong_clock_is_told_before_anything_is_touched(place: Field) -> None:
    """Of this machine, then of a host: what seter runs there tells the time by its own Python."""
    place.greet("hello")
    later = {"LD_PRELOAD": str(library()), "FAKETIME": "+40d"} | dict.fromkeys(STILL, "1")
    ended = place.tools("seter", "deploy", "small", "--target", "metal", "--yes", code=7, **later)
    assert "this machine's clock seems to be wrong" in ended.err, ended.err
    with faketime_on(place.lab["w2"]):
        ended = place.seter("deploy", "--yes", code=7)
    assert "the clock of w2 seems to be wrong" in ended.err and "behind this machine's" in ended.err, ended.err
    place.seter("deploy", "--yes")
    assert place.steps() == set()


@contextmanager
def faketime_on(host: Host) -> Iterator[None]:
    """Python there believes that it is forty days ago, and waits as long as ever: time spans before the host's start
    have waits without end."""
    subprocess.run([program("docker"), "cp", str(library()), f"{host.container}:/root/faketime.so"], check=True)
    given = " ".join(("LD_PRELOAD=/root/faketime.so", "FAKETIME=-40d", *(f"{name}=1" for name in STILL)))
    wrapper = f'#!/bin/sh\n{given} exec /usr/bin/python3.13 "$@"\n'
    host.run(
        "sh",
        "-c",
        "cat >/root/python3 && chmod 755 /root/python3 && ln -sf /root/python3 /usr/bin/python3",
        given=wrapper,
    )
    try:
        yield
    finally:
        host.run("ln", "-sf", "python3.13", "/usr/bin/python3")


@pytest.mark.long
def test_a_line_that_goes_silent_in_the_middle_is_noticed_in_time_and_the_next_deploy_finishes(place: Field) -> None:
    place.greet("good day")
    with place.deploying() as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "w1: switched" in line)
        drop("w1", place.lab, ["add rule inet lab in tcp dport 22 drop"])
        started = time.monotonic()
        try:
            rest = process.stderr.read()
            code = process.wait(300)
        finally:
            place.lab["w1"].run("nft", "delete", "table", "inet", "lab")
        assert code in (1, 5, 6, 9) and time.monotonic() - started < 2 * STILL_WITHIN, rest
        (said,) = (line for line in rest.splitlines() if line.startswith("error: "))
        assert "w1" in said, rest
    await_ssh(place, "w1")
    assert place.steps() == set()
    assert "good day" in place.lab["w2"].run("cat", "/etc/seter/now/web/index.html")


@pytest.mark.long
def test_a_host_that_reboots_while_it_is_changed_is_finished_by_the_next_deploy(place: Field) -> None:
    place.greet("good luck")
    with place.deploying() as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "w1: switched" in line)
        place.lab["w1"].power("restart")
        rest = process.stderr.read()
        assert process.wait(300) in (0, 1, 5, 6, 9), rest
    await_ssh(place, "w1")
    assert place.steps() == set()
    assert "good luck" in place.lab["w1"].run("cat", "/etc/seter/now/web/index.html")


def test_what_is_taken_down_is_gone_also_without_definitions(place: Field) -> None:
    (place.folder / "definitions" / "small" / "targets" / "metal.hcl").unlink()
    assert "3 removed" in place.seter("destroy", "--yes", "--forget").out
    ours = "/etc/seter /var/lib/seter /etc/systemd/system/seter-*"
    for host in place.lab.machines.values():
        assert host.run("sh", "-c", f"ls -d {ours} 2>/dev/null || true") == ""
        assert host.run("systemctl", "list-units", "--plain", "--no-legend", "seter-*") == ""
