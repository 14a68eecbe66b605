"""A snapshot is found by what people type, and gives what builds ask for: checked, or not at all."""

from __future__ import annotations

import lzma
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import BadInput, Conflict, Corrupt, NotFound
from common.model import Digest
from naust.listing import resolve
from naust.revoke import revoke
from naust.source import snapshot as snapshots
from naust.store.memory import MemoryStore
from smie.packages import Package
from smie.snapshot import FromSnapshot, opened
from smie.wanted import asked, recipes_of
from smie.workspace import Workspace
from tests.lab.snapshots import DAY, published, snapshot

DEB = b"a package, as far as anybody looks"
ED = Package("ed", "1.20-1", "amd64", Digest.of(DEB).hex, len(DEB))
WHEEL = b"a wheel"
PINNED = ("pypi:tool==1.0", Digest.of(WHEEL).hex)


def archive(*suites: str, component: str = "main") -> dict[str, bytes]:
    files = {"key.asc": b"the key"}
    for suite in suites:
        files[f"dists/{suite}/InRelease"] = suite.encode()
        files[f"dists/{suite}/{component}/binary-amd64/Packages.xz"] = lzma.compress(suite.encode())
    return files


def origin(
    tmp_path: Path, sources: Mapping[str, tuple[str, dict[str, bytes]]], store: MemoryStore | None = None
) -> FromSnapshot:
    """A snapshot of these: name → type and files."""
    store = store or MemoryStore()
    for name, (kind, files) in sources.items():
        published(store, name, files, kind)
    snapshot(store, "build", list(sources))
    found = opened(store, Workspace(tmp_path), "latest")
    assert isinstance(found, FromSnapshot)
    return found


# Which one


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    published(made, "one", {"a": b"a"})
    return made


def found(store: MemoryStore, text: str) -> str:
    made = opened(store, Workspace(Path("/none")), text)
    assert isinstance(made, FromSnapshot)
    return made.name


def test_a_day_alone_means_the_set_called_build(store: MemoryStore) -> None:
    snapshot(store, "other", ["one"])
    tag = snapshot(store, "build", ["one"])
    for text in ("2026-11-20", "latest", tag, "build:latest", "build:", f"snapshot/build:{tag}"):
        assert found(store, text) == f"snapshot/build:{tag}"


def test_the_only_set_need_not_be_named(store: MemoryStore) -> None:
    tag = snapshot(store, "lab", ["one"])
    assert found(store, "2026-11-20") == f"snapshot/lab:{tag}"


def test_of_several_sets_one_has_to_be_named_and_all_are_listed(store: MemoryStore) -> None:
    for name in ("lab", "site"):
        snapshot(store, name, ["one"])
    with pytest.raises(NotFound, match="several sets") as raised:
        found(store, "latest")
    assert raised.value.details.split() == ["lab", "site"]
    assert found(store, "site:latest").startswith("snapshot/site:")


def test_without_any_snapshot_it_is_said_how_to_make_one(store: MemoryStore) -> None:
    with pytest.raises(NotFound, match="has no snapshot") as raised:
        found(store, "latest")
    assert "naust mirror" in raised.value.resolution


def test_a_day_without_a_snapshot_names_the_days_that_have_one(store: MemoryStore) -> None:
    tag = snapshot(store, "build", ["one"])
    with pytest.raises(NotFound, match=r"no snapshot build:2026-11-19") as raised:
        found(store, "2026-11-19")
    assert raised.value.details == tag
    with pytest.raises(NotFound) as raised:
        found(store, "biuld:latest")
    assert raised.value.details == "other sets: build"


def test_the_past_stays_under_its_day(store: MemoryStore) -> None:
    first = snapshot(store, "build", ["one"])
    published(store, "one", {"a": b"b"}, now=DAY + timedelta(days=1))
    second = snapshot(store, "build", ["one"], now=DAY + timedelta(days=1))
    assert found(store, "2026-11-20").endswith(first)
    assert found(store, "latest").endswith(second)
    snapshots.show_as(store, f"snapshot/build:{first}", "production")
    opened_ = opened(store, Workspace(Path("/none")), "production")
    assert isinstance(opened_, FromSnapshot)
    assert opened_.snapshot.artifact.digest == snapshots.find(store, "build", first).artifact.digest


def test_nothing_is_built_from_a_snapshot_that_is_revoked(store: MemoryStore) -> None:
    tag = snapshot(store, "build", ["one"])
    revoke(store, resolve(store, f"snapshot/build:{tag}"), "a package in it is not what it was", by="us")
    with pytest.raises(Corrupt, match="revoked") as refused:
        found(store, "latest")
    assert "a package in it" in str(refused.value)


def test_the_environment_names_one_and_an_empty_option_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMIE_SNAPSHOT", "2026-11-20")
    assert (asked(None), asked(""), asked("latest")) == ("2026-11-20", "", "latest")
    monkeypatch.delenv("SMIE_SNAPSHOT")
    assert asked(None) == ""


def test_a_snapshot_cannot_be_brought_up_to_date(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--update"):
        recipes_of([], None, store, Workspace(tmp_path), snapshot="latest", refresh=True)  # type: ignore[arg-type]  # not looked at


# The index


def test_all_archives_that_have_the_suite_are_laid_down_with_their_keys(tmp_path: Path) -> None:
    mine = archive("trixie", "trixie-security", "bookworm")
    one = origin(tmp_path, {"debian": ("apt", mine), "ours": ("apt", archive("trixie")), "f": ("files", {"x": b"x"})})
    root = tmp_path / "a+root"
    lines = one.sources(root, "trixie", ["main"], "amd64")
    folder = root / "archives" / "debian"
    uri = f"file:{tmp_path}/a%2Broot/archives"
    assert lines == [
        f"deb [signed-by={folder}/key.asc by-hash=no] {uri}/debian trixie main",
        f"deb [signed-by={folder}/key.asc by-hash=no] {uri}/debian trixie-security main",
        f"deb [signed-by={root}/archives/ours/key.asc by-hash=no] {uri}/ours trixie main",
    ]
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {path for path in mine if "bookworm" not in path}
    assert (folder / "dists/trixie/InRelease").read_bytes() == b"trixie"


@pytest.mark.parametrize(
    ("suite", "components", "architecture", "said"),
    [
        ("forky", ["main"], "amd64", "forky with main for amd64"),
        ("trixie", ["main", "contrib"], "amd64", "trixie with contrib for amd64"),
        ("trixie", ["main"], "arm64", "trixie with main for arm64"),
        ("sid", ["main"], "amd64", "sid with main for amd64"),  # sid-updates is not sid
    ],
)
def test_what_no_archive_has_is_said(
    tmp_path: Path, suite: str, components: list[str], architecture: str, said: str
) -> None:
    one = origin(tmp_path, {"debian": ("apt", archive("trixie", "sid-updates"))})
    with pytest.raises(BadInput, match=said) as raised:
        one.sources(tmp_path / "root", suite, components, architecture)
    assert raised.value.details == "Its apt sources: debian."


def test_each_state_of_the_archives_has_an_index_of_its_own_and_other_sources_do_not_count(tmp_path: Path) -> None:
    store = MemoryStore()
    first = origin(tmp_path, {"debian": ("apt", archive("trixie")), "f": ("files", {"x": b"x"})}, store)
    published(store, "f", {"x": b"y"}, now=DAY + timedelta(days=1))
    snapshot(store, "build", ["debian", "f"], now=DAY + timedelta(days=1))
    second = opened(store, Workspace(tmp_path), "latest")
    published(store, "debian", archive("trixie", "sid"), "apt", now=DAY + timedelta(days=2))
    snapshot(store, "build", ["debian", "f"], now=DAY + timedelta(days=2))
    third = opened(store, Workspace(tmp_path), "latest")
    assert first.key == second.key != third.key


def test_a_name_of_a_source_leads_nowhere_else(tmp_path: Path) -> None:
    one = origin(tmp_path, {"debian": ("apt", archive("trixie"))})
    (state,) = one.snapshot.states
    evil = replace(one, snapshot=replace(one.snapshot, states=(replace(state, source="../../evil"),)))
    with pytest.raises(BadInput):
        evil.sources(tmp_path / "a" / "root", "trixie", ["main"], "amd64")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "a").exists()


# Packages


@pytest.fixture
def debian(tmp_path: Path) -> FromSnapshot:
    return origin(tmp_path, {"debian": ("apt", {"pool/ed.deb": DEB})})


def pool(tmp_path: Path, name: str = "root") -> Path:
    (tmp_path / name / "pool").mkdir(parents=True)
    return tmp_path / name


def test_a_package_comes_out_of_the_store_by_its_digest_and_once_for_all(tmp_path: Path, debian: FromSnapshot) -> None:
    roots = pool(tmp_path), pool(tmp_path, "another")
    for root in (*roots, roots[0]):
        debian.packages(root, [ED], None)
    assert (roots[0] / "pool" / ED.file).read_bytes() == DEB
    assert (roots[0] / "pool" / ED.file).samefile(roots[1] / "pool" / ED.file)
    assert (roots[0] / "pool" / ED.file).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("is_there", [True, False])
def test_a_damaged_package_is_an_error_and_comes_nowhere(tmp_path: Path, debian: FromSnapshot, is_there: bool) -> None:
    store = debian.store
    assert isinstance(store, MemoryStore)
    if is_there:
        store._contents[Digest.of(DEB)] = DEB.replace(b"package", b"PACKAGE")
    else:
        del store._contents[Digest.of(DEB)]
    root = pool(tmp_path)
    with pytest.raises(Corrupt, match=r"ed_1\.20-1_amd64\.deb of snapshot/build:2026-11-20"):
        debian.packages(root, [ED], None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_another_file_of_the_same_name_is_not_taken_for_it(tmp_path: Path, debian: FromSnapshot) -> None:
    root = pool(tmp_path)
    (root / "pool" / ED.file).write_bytes(b"other")
    with pytest.raises(Conflict, match="is another file"):
        debian.packages(root, [ED], None)


def test_fetching_ends_when_everything_has_to_stop(tmp_path: Path, debian: FromSnapshot) -> None:
    halt = threading.Event()
    halt.set()
    with pytest.raises(KeyboardInterrupt):
        debian.packages(pool(tmp_path), [ED], halt)


# Programs


@pytest.mark.parametrize(("kind", "path"), [("pypi", "packages/tool-1.0.whl"), ("files", "any/where/tool-1.0.whl")])
def test_a_wheel_is_found_by_its_digest(tmp_path: Path, kind: str, path: str) -> None:
    one = origin(tmp_path, {"debian": ("apt", archive("trixie")), "programs": (kind, {path: WHEEL, "x": b"x"})})
    wheel = one.wheel(tmp_path, *PINNED, None)
    assert (wheel.name, wheel.read_bytes()) == ("tool-1.0.whl", WHEEL)


def test_a_wheel_that_is_not_in_it_is_not_fetched_from_elsewhere(tmp_path: Path) -> None:
    one = origin(tmp_path, {"programs": ("pypi", {"packages/tool-1.0.whl": b"another"})})
    with pytest.raises(BadInput, match="does not have pypi:tool==") as raised:
        one.wheel(tmp_path, *PINNED, None)
    assert PINNED[1] in raised.value.details


def test_the_provenance_names_the_snapshot_and_its_sources(debian: FromSnapshot) -> None:
    whole, state = debian.materials()
    artifact = debian.snapshot.artifact
    assert (whole["uri"], whole["digest"]) == (str(artifact.reference), {"sha256": artifact.digest.hex})
    assert state == {
        "name": "source debian", "digest": {"sha256": debian.snapshot.states[0].manifest.digest.hex},
    }  # fmt: skip
