"""Two builds that are compared: what differs of their surroundings, what is said, and what is left of them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import Error
from common.model import Digest, Event
from common.run import CommandFailed, Result
from smie import otherwise
from smie.again import Lines, NotReproducible, Twice, ended, failure
from smie.conditions import FIRST, SECOND, command, definitions, environment, without
from smie.difference import Difference
from smie.leftovers import MEMORY, identity
from smie.otherwise import Otherwise
from tests.unit.smie.conftest import Kitchen

LATER = Otherwise(timedelta(days=400), "another", True)


def test_everything_that_must_not_matter_differs(tmp_path: Path) -> None:
    for name in ("folder", "home", "user", "uid", "umask", "later", "locale", "zone", "backwards", "host"):
        assert getattr(FIRST, name) != getattr(SECOND, name)
    one, two = (environment(each, tmp_path / each.folder) for each in (FIRST, SECOND))
    assert all(one[name] != two[name] for name in ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ"))
    assert Path(two["HOME"]).is_dir()


def test_who_needs_no_root_is_another_user() -> None:
    plain = command(SECOND, ("smie",), root=False)
    assert plain[:3] == ("unshare", "--map-user=2002", "--map-group=2002") and plain[-1] == "smie"
    assert command(SECOND, ("smie",), root=True) == plain[plain.index("setpriv") :]
    assert 'umask 077; exec "$@"' in plain


def test_a_check_signs_nothing_and_writes_nowhere_else() -> None:
    said = {"NAUST_KEY": "k", "NAUST_STORE": "s", "SMIE_CACHE": "c", "SMIE_SNAPSHOT": "x", "PATH": "p"}
    assert without(said) == {"PATH": "p"}


def test_definitions_are_copied_as_another_checkout_has_them(tmp_path: Path) -> None:
    (tmp_path / "systems" / "roles").mkdir(parents=True)
    (tmp_path / "systems" / "roles" / "a").write_text("text")
    (tmp_path / "systems" / "roles" / "run").write_text("#!")
    (tmp_path / "systems" / "roles" / "run").chmod(0o755)
    (tmp_path / "systems" / "roles" / "link").symlink_to("a")
    copy = definitions(SECOND, tmp_path / "systems", tmp_path / "copy") / "roles"
    assert (copy / "a").read_text() == "text" and (copy / "a").stat().st_mode & 0o777 == 0o600
    assert (copy / "run").stat().st_mode & 0o777 == 0o700
    assert str((copy / "link").readlink()) == "a"


def test_a_build_that_is_not_compared_is_not_changed() -> None:
    for other in (None, FIRST.other):
        assert otherwise.outside(other) == otherwise.inside(other) == {}
        assert otherwise.mounts(other) == otherwise.binds(other) == {}
        assert otherwise.around(other, "packer") == ("packer",)
        assert otherwise.hooks(other) == ((), ())


def test_programs_see_another_time_and_leave_nothing() -> None:
    before = set(MEMORY.iterdir())
    with otherwise.clock(LATER, identity("clock")) as shared:
        # As packer is begun: setpriv(1) becomes it, so nobody cleans up what setpriv had libfaketime make.
        argv = ("setpriv", "--pdeathsig", "TERM", "--", "date", "+%s")
        seen = subprocess.run(
            argv, env={"PATH": "/usr/bin:/bin", **otherwise.outside(shared)}, capture_output=True, text=True, check=True
        )
        real = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert 0 <= int(seen.stdout) - int(real.stdout) - 400 * 86400 + 60 < 120 and not seen.stderr
        assert len(set(MEMORY.iterdir()) - before) == 2
    assert set(MEMORY.iterdir()) == before


def test_what_is_shared_is_not_told_inside_of_a_container() -> None:
    assert "FAKETIME_SHARED" not in otherwise.inside(Otherwise(LATER.later, "x", True, "/a /a"))
    assert otherwise.outside(Otherwise(LATER.later, "x", True, "/a /a"))["FAKETIME_SHARED"] == "/a /a"


@pytest.mark.parametrize("backwards", [False, True])
def test_roles_lie_in_memory_in_the_order_in_which_they_were_written(tmp_path: Path, backwards: bool) -> None:
    other, folder = Otherwise(timedelta(0), "", backwards), tmp_path / "roles"
    with otherwise.roles(folder, identity("x"), other) as there:
        for name in sorted("abc", reverse=backwards):
            (there / name).write_text("")
        order = [path.name for path in there.iterdir()]
        assert order in (["a", "b", "c"], ["c", "b", "a"])
        place = there.resolve()
    assert not place.exists()


def recipe_of(kitchen: Kitchen, *, same: bool) -> Twice:
    digests = (Digest.of(b"a"), Digest.of(b"a" if same else b"b"))
    found = () if same else (Difference("etc/day", "line 1", "'1'", "'2'"),)
    return Twice(kitchen.recipe(), digests, None, None, found, 0 if same else 7, ({}, {}))


def test_what_is_the_same_is_one_line_and_no_failure(kitchen: Kitchen) -> None:
    same = recipe_of(kitchen, same=True)
    assert str(same) == (f"container/bird is reproducible: same digest {Digest.of(b'a')} twice; it is not in the store")
    assert failure([same]) is None
    assert json.dumps(same.shown(), default=str)


def test_what_differs_is_a_failure_that_names_files(kitchen: Kitchen) -> None:
    error = failure([recipe_of(kitchen, same=True), recipe_of(kitchen, same=False)])
    assert isinstance(error, NotReproducible) and error.exit_code == 1
    assert error.details.splitlines()[1:] == ["  etc/day: line 1: '1' ≠ '2'", "  and 6 more"]


def test_progress_of_the_build_goes_on_to_the_person() -> None:
    told: list[Event] = []
    lines = Lines(told.append)
    for line in ("   0.9s  builds    container/x: never built", "unrelated", "12s", ""):
        lines.take("stderr", line)
    lines.take("stdout", "   0.9s  builds    container/x: never built")
    assert [(event.kind, event.subject) for event in told] == [("builds", "container/x: never built")]


def test_an_error_keeps_its_words_and_code_and_its_log_stays(tmp_path: Path) -> None:
    cache, kept = tmp_path / "check" / "cache", tmp_path / "kept"
    (cache / "logs" / "container").mkdir(parents=True)
    (cache / "logs" / "container" / "x.log").write_text("why")
    log = cache / "logs" / "container" / "x.log"
    said = {"message": "building failed", "details": "d", "resolution": f"See {log}.", "code": 9}
    raised = ended(CommandFailed(("x",), Result(9, json.dumps(said), "")), cache, kept)
    assert (raised.message, raised.exit_code) == ("building failed", 9)
    assert raised.resolution == f"See {kept / 'logs' / 'check' / 'container' / 'x.log'}."
    assert (kept / "logs" / "check" / "container" / "x.log").read_text() == "why"


def test_a_build_that_said_nothing_is_told_as_it_ended(tmp_path: Path) -> None:
    failed = CommandFailed((sys.executable,), Result(-9, "", "Traceback"))
    assert ended(failed, tmp_path, tmp_path) is failed
    assert isinstance(failed, Error)


def test_memory_is_as_libfaketime_reads_it() -> None:
    with otherwise.clock(LATER, identity("clock")) as shared:
        name = shared.shared.split()[1].removeprefix("/")
        assert (MEMORY / name).read_bytes()[:80] == bytes(16) + (bytes(8) + b"\xff" * 8) * 4
