from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bird_control
import bird_launch
import bird_watch
import pytest
from bird_control import Bird, beat
from bird_watch import Later, Pulse, Watch, listen

from tests.unit.systems.bird_stand_in import StandIn, stand_in

VIPS = ("vip*",)


@pytest.fixture
def bird(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in(tmp_path / "ctl") as found:
        found.up.update(vip4=True, vip6=True)
        yield found


def test_a_silent_agent_withdraws_and_one_that_speaks_is_left_to_decide(bird: StandIn, tmp_path: Path) -> None:
    watch = Watch(Bird(str(tmp_path / "ctl")), VIPS, 3.0, now=100.0)
    watch.look(102.9)
    watch.hear(102.9)
    watch.look(105.8)
    assert bird.up == {"vip4": True, "vip6": True}
    watch.look(106.0)
    assert bird.up == {"vip4": False, "vip6": False}
    bird.up.update(vip4=True)  # by hand, while nobody watches
    watch.look(107.0)
    assert bird.up == {"vip4": False, "vip6": False}
    watch.hear(108.0)
    bird.up.update(vip4=True, vip6=True)
    watch.look(109.0)
    assert bird.up == {"vip4": True, "vip6": True}


def test_what_fits_no_pattern_stays_and_all_services_go(tmp_path: Path) -> None:
    with stand_in(tmp_path / "one", ("vip6", "vip4_archive", "ring4a")) as bird:
        bird.up.update(vip6=True, vip4_archive=True, ring4a=True)
        Watch(Bird(str(tmp_path / "one")), VIPS, 3.0, now=0.0).look(4.0)
        assert bird.up == {"vip6": False, "vip4_archive": False, "ring4a": True}


def test_a_bird_without_virtual_ips_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stand_in(tmp_path / "one", ("ring4a",)) as bird:
        bird.up.update(ring4a=True)
        Watch(Bird(str(tmp_path / "one")), VIPS, 3.0, now=0.0).look(4.0)
        assert bird.up == {"ring4a": True} and not capsys.readouterr().err


def test_a_bird_that_does_not_answer_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(Bird(str(tmp_path / "nobody")), VIPS, 3.0, now=0.0)
    for now in (4.0, 5.0, 6.0):
        watch.look(now)
    assert capsys.readouterr().err.count("BIRD does not answer") == 1


def test_a_beat_is_heard_and_nobody_need_listen(tmp_path: Path) -> None:
    path = str(tmp_path / "watch")
    beat(path)
    (tmp_path / "watch").touch()  # of an earlier life
    with listen(path) as ears:
        beat(path)
        assert ears.recv(16) == b"lives"
        assert (tmp_path / "watch").stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--silence", "3", "--later", "2", "--", "bird"],
        ["--silence", "3", "--later", "2", "ring?b", "--", "bird"],
        ["--silence", "3", "vip4", "--", "bird"],
        ["--silence", "soon", "--later", "2", "ring?b", "vip4", "--", "bird"],
        ["--silence", "3", "--later", "0", "ring?b", "vip4", "--", "bird"],
    ],
)
def test_wrong_usage_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert bird_watch.main(words) == 2 and "bird-watch --silence" in capsys.readouterr().err


def test_a_bird_that_does_not_answer_any_more_is_lost_and_one_that_starts_is_not() -> None:
    class Mute(Bird):
        fault = True

        def ask(self, command: str) -> list[str]:
            if self.fault:
                raise OSError("BIRD does not answer")
            return ["BIRD 2.17"]

    bird = Mute()
    pulse = Pulse(bird)
    assert not any(pulse.is_lost(now) for now in (1.0, 20.0, 300.0))
    bird.fault = False
    assert not pulse.is_lost(301.0)
    bird.fault = True
    assert not pulse.is_lost(301.5) and not pulse.is_lost(310.5) and pulse.is_lost(311.5)


def test_ways_past_a_dead_gateway_wait_until_there_was_time_to_hear_of_all(tmp_path: Path) -> None:
    with stand_in(tmp_path / "one", ("ring4a", "ring4b", "ring6b", "vip4")) as bird:
        later = Later(Bird(str(tmp_path / "one")), "ring?b", 2.0, now=100.0)
        later.look(101.9)
        assert not any(bird.up.values())
        later.look(102.0)
        assert bird.up == {"ring4a": False, "ring4b": True, "ring6b": True, "vip4": False}
        bird.up.update(ring6b=False)  # new files brought it
        later.look(102.5)
        assert not bird.up["ring6b"]
        later.look(103.0)
        assert bird.up["ring6b"]
    later.look(104.0)
    with stand_in(tmp_path / "two", ("vip4",)):
        Later(Bird(str(tmp_path / "two")), "ring?b", 2.0, now=0.0).look(2.0)


def test_it_ends_as_its_child_does_and_passes_signals_on(tmp_path: Path) -> None:
    folders = os.pathsep.join(str(Path(module.__file__ or "").parent) for module in (bird_control, bird_watch))
    place = str(tmp_path / "watch")
    script = f"import sys, bird_watch; bird_watch.WATCH = {place!r}; sys.exit(bird_watch.main(sys.argv[1:]))"
    argv = [sys.executable, "-c", script, "--silence", "3", "--later", "2", "ring?b", "vip4", "--"]
    env = os.environ | {"PYTHONPATH": folders}
    assert subprocess.run([*argv, "sh", "-c", "exit 7"], env=env, timeout=20).returncode == 7
    child = [*argv, "sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"]
    with subprocess.Popen(child, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert process.wait(timeout=20) == 9 and time.monotonic() - started < 5


# The password


def test_the_password_is_a_constant_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret, included = tmp_path / "secret", tmp_path / "password.conf"
    secret.write_text("aB3-_.x\n")
    bird_launch.write(secret, included)
    assert included.read_text() == 'define bgp_password = "aB3-_.x";\n'
    assert included.stat().st_mode & 0o777 == 0o600
    secret.write_text("another")
    bird_launch.write(secret, included)
    assert '"another"' in included.read_text() and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("text", ["", "two words", 'a"; protocol', "a\nb", "x" * 81, "é"])
def test_a_password_that_cannot_be_one_leaves_the_old_one(tmp_path: Path, text: str) -> None:
    secret, included = tmp_path / "secret", tmp_path / "password.conf"
    included.write_text("as it was")
    secret.write_text(text)
    with pytest.raises(ValueError):
        bird_launch.write(secret, included)
    assert included.read_text() == "as it was" and len(list(tmp_path.iterdir())) == 2
