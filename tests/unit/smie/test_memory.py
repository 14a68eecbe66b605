"""What memory is left, on made-up machines and on this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from smie.memory import available

MIB = 1 << 20


def machine(root: Path, groups: str, **files: str) -> Path:
    written = {
        "proc/meminfo": f"MemTotal: {8 << 20} kB\nMemAvailable: {4 << 20} kB\n",
        "proc/self/cgroup": groups,
    }
    for name, text in (written | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v2(group: str, most: str, used: int, cache: int) -> dict[str, str]:
    folder = f"sys/fs/cgroup/{group}".rstrip("/")
    return {
        f"{folder}/memory.max": f"{most}\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": f"anon 5\ninactive_file {cache}\n",
    }


def test_without_groups_it_is_what_the_machine_has(tmp_path: Path) -> None:
    assert available(machine(tmp_path, "")) == 4096 * MIB


def test_the_narrowest_group_above_counts(tmp_path: Path) -> None:
    files = v2("ci", str(1000 * MIB), 700 * MIB, 100 * MIB) | v2("ci/job", "max", 300 * MIB, 0)
    assert available(machine(tmp_path, "0::/ci/job\n", **files)) == 400 * MIB


def test_a_container_sees_its_group_at_the_top(tmp_path: Path) -> None:
    files = v2("", str(512 * MIB), 12 * MIB, 0)
    assert available(machine(tmp_path, "0::/docker/0123\n", **files)) == 500 * MIB


@pytest.mark.parametrize(("limit", "expected"), [(2 << 30, 1536), ((1 << 63) - 4096, 4096)])
def test_the_first_version_of_groups(tmp_path: Path, limit: int, expected: int) -> None:
    folder = "sys/fs/cgroup/memory/ci"
    files = {
        f"{folder}/memory.limit_in_bytes": f"{limit}",
        f"{folder}/memory.usage_in_bytes": f"{768 * MIB}",
        f"{folder}/memory.stat": f"total_inactive_file {256 * MIB}",
    }
    groups = "5:devices:/other\n4:memory:/ci\n0::/\n"
    assert available(machine(tmp_path, groups, **files)) == expected * MIB


def test_a_group_that_is_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    assert available(machine(tmp_path, "0::/\n", **v2("", str(MIB), 2 * MIB, 0))) == 0


def test_this_machine_has_some() -> None:
    assert available() > MIB
