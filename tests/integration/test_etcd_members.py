"""Members of etcd that come, go, lose what they had and fill up: on a small cluster of the role's image."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Tools
from tests.lab.etcds import Etcds, b64, docker, etcds, image_of
from tests.lab.waiting import soon

MEBI = 1 << 20


@pytest.fixture(scope="module")
def image(tools: Tools) -> str:
    tools("smie", "build", "etcd", timeout=600)
    return image_of("etcd")


@pytest.fixture
def three(image: str) -> Iterator[Etcds]:
    with etcds(image) as lab:
        for number in (1, 2, 3):
            lab.make(number, 3)
        yield lab


def fill(lab: Etcds, times: int) -> list[bool]:
    """Write one key so often, 64 KiB each time."""
    return [lab.put(1, "key", "x" * 65536) for _ in range(times)]


class Writer:
    """Writes one key after the other, at any member that takes it, until the block ends."""

    def __init__(self, lab: Etcds, numbers: tuple[int, ...]) -> None:
        self._lab, self._numbers = lab, numbers
        self.written: list[str] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._go)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _go(self) -> None:
        while not self._ending.is_set():
            key = f"written/{len(self.written)}"
            if any(self._lab.put(number, key) for number in self._numbers):
                self.written.append(key)
            time.sleep(0.01)

    def lost(self, number: int) -> set[str]:
        return set(self.written) - self._lab.keys(number, "written/")


def test_a_cluster_begins_once_all_are_there_and_a_lost_member_comes_back_while_writes_go_on(three: Etcds) -> None:
    three.start(1)
    soon(lambda: "must say first" in three.log(1), 10, "the first waits for the others")
    time.sleep(1.0)
    assert "m2, m3 must say first" in three.log(1) and not three.members(1)
    three.start(2, 3)
    soon(lambda: three.good(1, 2, 3), 30, "three members")
    with Writer(three, (1, 3)) as writer:
        three.lose(2, 3)
        three.start(2)
        soon(lambda: three.good(1, 2, 3), 40, "three members again")
    assert len(writer.written) > 10 and not writer.lost(2)
    assert "remove: done" in three.log(2) and "add: done" in three.log(2)


def test_a_member_without_data_founds_nothing_while_others_are_away_and_costs_no_quorum(three: Etcds) -> None:
    three.start(1, 2, 3)
    soon(lambda: three.good(1, 2, 3), 30, "three members")
    assert three.put(1, "kept")
    three.stop(2, 3)
    three.lose(3, 3)
    three.start(3)
    soon(lambda: "no quorum" in three.log(3), 15, "it sees that there is a cluster without a quorum")
    three.stop(1)
    soon(lambda: "m1, m2 must say first" in three.log(3), 15, "it founds nothing alone")
    three.start(1, 2)
    soon(lambda: three.good(1, 2, 3), 40, "three members again")
    assert three.keys(3, "kept") == {"kept"}


@pytest.mark.long
def test_three_become_five_and_three_again_one_by_one_while_writes_go_on(three: Etcds) -> None:
    three.start(1, 2, 3)
    soon(lambda: three.good(1, 2, 3), 30, "three members")
    with Writer(three, (1, 2, 3)) as writer:
        for number in (4, 5):
            three.make(number, 5)
        three.start(4, 5)
        soon(lambda: three.good(1, 2, 3, 4, 5), 60, "five members")
        for number in (1, 2, 3):
            three.tell(number, 3)
        assert three.program(1, "etcd-launch", "settle") == {"members": ["m1", "m2", "m3"]}
        three.stop(4, 5)
        soon(lambda: three.good(1, 2, 3), 10, "three members again")
    assert len(writer.written) > 10 and not writer.lost(1)


def test_a_full_store_says_so_and_one_command_makes_it_take_writes_again(image: str) -> None:
    with etcds(image, quota=4 * MEBI) as lab:
        for number in (1, 2, 3):
            lab.make(number, 3)
        lab.start(1, 2, 3)
        soon(lambda: lab.good(1, 2, 3), 30, "three members")
        soon(lambda: not any(fill(lab, 20)), 60, "no write is taken any more")
        found = lab.program(2, "etcd-status")
        assert not found["ok"] and "seter maintain" in found["summary"], found
        assert found["file"] > 3 * MEBI
        done = lab.program(3, "etcd-maintain")
        assert done["alarms_cleared"] == ["NOSPACE"] and len(done["defragmented"]) == 3
        assert all(one["after"] < one["before"] / 4 for one in done["defragmented"]), done
        soon(lambda: lab.good(1, 2, 3), 10, "three healthy members")
        assert lab.put(1, "key")


def test_members_are_defragmented_one_by_one_the_leader_last_and_no_write_fails(three: Etcds) -> None:
    three.start(1, 2, 3)
    soon(lambda: three.good(1, 2, 3), 30, "three members")
    assert all(fill(three, 60))
    assert three.program(1, "etcd-maintain")["defragmented"] == [], "little is free"
    assert "refused" not in three.call(1, "/v3/kv/compaction", {"revision": "55", "physical": True})
    leader = next(f"m{number}" for number in (1, 2, 3) if three.program(number, "etcd-status")["summary"] == "leads")
    failures: list[float] = []
    ending = threading.Event()

    def write() -> None:
        while not ending.is_set():
            if not three.put(1, "another"):
                failures.append(time.time())
            time.sleep(0.01)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        done = three.program(2, "etcd-maintain", "--at-least", str(MEBI))
    finally:
        ending.set()
        thread.join()
    assert [one["name"] for one in done["defragmented"]][-1] == leader
    assert all(one["after"] < one["before"] / 2 for one in done["defragmented"]), done
    assert not failures


def test_a_backup_makes_a_cluster_again_of_which_two_disks_are_lost_and_watchers_notice(
    three: Etcds, tmp_path: Path
) -> None:
    three.start(1, 2, 3)
    soon(lambda: three.good(1, 2, 3), 30, "three members")
    assert three.put(1, "before")
    saved = three.program(1, "etcd-backup", "save")
    assert saved["revision"] == 2 and saved["entries"] > 1 and saved["version"].endswith("-r2"), saved
    assert three.run(1, "stat", "-c", "%a %u", saved["file"].rpartition("/")[0]) == "700 952"
    assert three.put(1, "after")
    copy = tmp_path / "0123.copy"
    docker("cp", f"{three.container(1)}:{saved['file']}", str(copy))
    three.run(1, "sh", "-c", f"printf x | dd of={saved['file']} bs=1 seek=9000 conv=notrunc 2>/dev/null")
    assert not three.program(1, "etcd-backup", "prepare", saved["file"]), "a damaged one is refused"
    assert not three.program(1, "etcd-backup", "commit"), "and nothing is ready"
    for number in (2, 3):
        three.lose(number, 3)
    three.start(2, 3)
    soon(lambda: "no quorum" in three.log(2) and "no quorum" in three.log(3), 20, "two that wait")
    copy.chmod(0o644)
    for number in (1, 2, 3):
        docker("cp", str(copy), f"{three.container(number)}:/var/lib/seter/etcd/0123.copy")
        assert three.program(number, "etcd-backup", "prepare", "/var/lib/seter/etcd/0123.copy")["revision"] == 2
    for number in (1, 2, 3):
        assert three.program(number, "etcd-backup", "commit") == {"at_next_start": True}
    docker("restart", "--time", "5", *(three.container(number) for number in (1, 2, 3)))
    soon(lambda: three.good(1, 2, 3), 40, "three members of the restored cluster")
    assert three.keys(2, "before") == {"before"} and not three.keys(2, "after")
    watch = {"create_request": {"key": b64("before"), "start_revision": "3"}}
    told = three.first_line(3, "/v3/watch", watch, lambda line: "canceled" in line)
    assert int(told["result"]["compact_revision"]) >= 1_000_000_000
    assert three.run(1, "ls", "/var/lib/seter/etcd").split().count("data.before") == 1
