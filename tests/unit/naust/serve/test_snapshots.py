"""What `/snapshots` and `/v2/snapshot` answer: paths, dates and views, conditions, forms, rights."""

from __future__ import annotations

import gc
import http.client
import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model import Digest
from naust.manifest import Blob
from naust.promote import promote
from naust.serve.service import Rules
from naust.serve.snapshots import media_type_of, preferred
from naust.serve.snapshots_commands import commands
from naust.serve.snapshots_images import images, names_of
from naust.serve.snapshots_tables import Bounded, Table
from naust.source.export import is_lasting
from naust.source.state import File
from naust.store.directory import DirectoryStore
from tests.lab.serving import Answered, Served, ask, served, token
from tests.lab.snapshots import DAY, archive, layout, providers, published, simple, snapshot, wheel

HTML = "text/html"
JSON = "application/vnd.pypi.simple.v1+json"
PIP = f"{JSON}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"


@dataclass(frozen=True)
class Site:
    """Two snapshots of a set of all kinds of sources, and a view of it."""

    server: Served
    first: str
    second: str

    def get(self, path: str, method: str = "GET", **fields: str) -> Answered:
        return ask(self.server.port, method, path, None, **fields)


OLD = archive({"trixie": {"main/t/thing_1_all.deb": b"thing 1"}}, "first")
NEW = archive({"trixie": {"main/t/thing_2_all.deb": b"thing 2"}}, "second", DAY + timedelta(days=1))
IMAGES = layout({"docker.io/library/debian:13": [b"tar 1"], "quay.io:5000/team/app:1.0": [b"tar 2"]})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site") / "store"
    store = DirectoryStore(root)
    published(store, "debian", OLD, "apt")
    published(store, "tools", simple(wheel("one_two", "1.0")), "pypi", most=2)
    published(store, "binaries", {"deep/er/tool+1~2": b"0123456789", "page.html": b"<script>"})
    published(store, "images", IMAGES, "oci")
    published(store, "providers", providers("registry.terraform.io", "hashicorp/null", ["3.2.4"]), "terraform")
    sources = ["debian", "tools", "binaries", "images", "providers"]
    first = snapshot(store, "build", sources)
    promote(store, f"snapshot/build:{first}", "stable", now=DAY)
    published(store, "debian", NEW, "apt", DAY + timedelta(days=1))
    second = snapshot(store, "build", sources, DAY + timedelta(days=1))
    with served(root) as server:
        yield Site(server, first, second)


# Which snapshot


def test_a_full_tag_a_day_a_view_and_latest_each_mean_one_snapshot(site: Site) -> None:
    path = "debian/dists/trixie/Release"
    for when, label in (
        (site.first, b"first"), ("2026-11-20", b"first"), ("stable", b"first"),
        (site.second, b"second"), ("2026-11-21", b"second"), ("latest", b"second"),
    ):  # fmt: skip
        assert b"Description: " + label in site.get(f"/snapshots/build/{when}/{path}").body, when
    assert b"Description: first" in site.get("/snapshots/debian/2026-11-20/dists/trixie/Release").body


def test_the_last_of_a_day_is_what_the_day_means(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    with served(tmp_path / "store") as server:
        for hour, data in enumerate((b"morning", b"noon")):
            published(store, "files", {"a": data}, now=DAY + timedelta(hours=hour))
            assert ask(server.port, "GET", "/snapshots/files/2026-11-20/a").body == data


def test_a_view_that_moved_is_followed_at_once(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    tags = [published(store, "files", {"a": data}).reference.tag for data in (b"1", b"2")]
    with served(tmp_path / "store") as server:
        for i in (0, 1, 0, 1, 0):
            promote(store, f"snapshot/files:{tags[i]}", "stable")
            assert ask(server.port, "GET", "/snapshots/files/stable/a").body == str(i + 1).encode()


def test_what_is_not_there_is_said_with_what_to_do_next(site: Site) -> None:
    for path, told in (
        ("/snapshots/build/2020-01-01/debian/x", site.second),
        ("/snapshots/other/latest/x", "/snapshots/"),
        ("/snapshots/build/latest/nothing/x", "debian, tools, binaries"),
        ("/snapshots/build/latest/debian/x", "sources.hcl"),
        ("/snapshots/build/latest/", "debian, tools, binaries"),
        ("/v2/snapshot/build/latest/none/manifests/1", "library/debian"),
        ("/v2/snapshot/build/latest/debian/manifests/12", "13"),
    ):
        answer = site.get(path)
        assert answer.status == 404
        assert told in answer.message
    assert site.get("/snapshots/build/latest/x/../y").status == 400
    assert site.get("/snapshots/BUILD/latest/x").status == 400
    assert site.get("/snapshots/build/latest/debian/x", "PUT").status == 405


# One file


def test_a_file_has_its_digest_as_tag_and_can_be_had_in_parts(site: Site) -> None:
    path = f"/snapshots/build/{site.first}/binaries/deep/er/tool%2B1~2"
    whole = site.get(path)
    assert (whole.status, whole.body) == (200, b"0123456789")
    assert whole.headers["etag"] == f'"{Digest.of(whole.body)}"'
    same = site.get(path, If_None_Match=whole.headers["etag"])
    assert (same.status, same.body, same.headers["content-length"]) == (304, b"", "10")  # apt keeps the connection
    part = site.get(path, Range="bytes=2-4")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    head = site.get(path, "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "10")
    assert site.get(path, Range="bytes=20-").status == 416


def test_the_date_is_that_of_the_snapshot_and_only_that_very_date_is_unchanged(site: Site) -> None:
    path = "/snapshots/build/latest/debian/dists/trixie/Release"
    whole = site.get(path)
    modified = whole.headers["last-modified"]
    assert modified == "Sat, 21 Nov 2026 10:00:00 GMT"
    assert site.get(path, If_Modified_Since=modified).status == 304
    assert site.get(path, If_Modified_Since="Sun, 22 Nov 2026 10:00:00 GMT").status == 200
    assert site.get(path, If_Modified_Since="Fri, 20 Nov 2026 10:00:00 GMT").status == 200
    assert site.get(path, If_Modified_Since=modified, If_None_Match='"other"').status == 200
    assert site.get(path, If_Range=modified, Range="bytes=0-5").status == 206
    assert site.get(path, If_Range="Fri, 20 Nov 2026 10:00:00 GMT", Range="bytes=0-5").body == whole.body


def test_what_never_changes_may_be_kept_and_a_view_may_not(site: Site) -> None:
    for_ever, asked = "public, max-age=31536000, immutable", "no-cache"
    release = "debian/dists/trixie/Release"
    for_hash = next(path for path in NEW if "by-hash" in path)
    for path, cache in (
        (f"/snapshots/build/{site.first}/{release}", for_ever),
        (f"/snapshots/build/stable/{release}", asked),
        (f"/snapshots/build/2026-11-20/{release}", asked),
        (f"/snapshots/build/latest/{release}", asked),
        (f"/snapshots/build/latest/debian/{for_hash}", for_ever),
        ("/v2/snapshot/build/latest/debian/manifests/13", asked),
        ("/v2/snapshot/build/2026-11-20/debian/tags/list", None),
    ):
        assert site.get(path).headers.get("cache-control") == cache, path


def test_no_browser_runs_what_a_source_holds(site: Site) -> None:
    answer = site.get("/snapshots/build/latest/binaries/page.html")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("x/index.json", "application/json"), ("x/3.2.4.json", "application/json"), ("x.zip", "application/zip"),
        ("pool/a_1_all.deb", "application/vnd.debian.binary-package"),
        ("dists/x/InRelease", "text/plain; charset=utf-8"),
        ("Packages.xz", "application/x-xz"), ("packages/a.tar.gz", "application/gzip"), ("a/tool", "application/x-own"),
    ],
)  # fmt: skip
def test_a_type_follows_from_the_name_else_from_the_state(path: str, kind: str) -> None:
    own = {"x.zip": "application/zip"}.get(path, "application/x-own")
    assert media_type_of(path, own) == kind


def test_terraform_gets_json(site: Site) -> None:
    below = "/snapshots/build/latest/providers/registry.terraform.io/hashicorp/null"
    for name in ("index.json", "3.2.4.json"):
        answer = site.get(f"{below}/{name}")
        assert answer.headers["content-type"] == "application/json"
        json.loads(answer.body)


# The simple index


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (PIP, JSON), ("", "text/html; charset=utf-8"), ("*/*", "text/html; charset=utf-8"), (JSON, JSON),
        ("text/html", "text/html; charset=utf-8"), ("application/vnd.pypi.simple.latest+json", JSON),
        ("application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.v1+html"),
        (f"{JSON};q=0, text/html;q=0.1", "text/html; charset=utf-8"), ("image/png", "text/html; charset=utf-8"),
    ],
)  # fmt: skip
def test_a_project_comes_in_the_form_that_is_asked_for(site: Site, accept: str, kind: str) -> None:
    answer = site.get("/snapshots/build/latest/tools/simple/one-two/", Accept=accept)
    assert (answer.status, answer.headers["content-type"], answer.headers["vary"]) == (200, kind, "Accept")
    assert b"one_two-1.0-py3-none-any.whl" in answer.body


def test_the_list_of_projects_is_html_where_there_is_no_other(site: Site) -> None:
    assert b'href="one-two/"' in site.get("/snapshots/build/latest/tools/simple/", Accept=PIP).body


def test_a_project_is_found_by_other_spellings_and_without_the_last_slash(site: Site) -> None:
    below = "/snapshots/build/latest/tools/simple"
    assert site.get(f"{below}/one-two").headers["location"] == "one-two/"
    assert site.get(f"{below}/One_.two/").headers["location"] == "../one-two/"
    assert site.get(f"{below}/three/").status == 404


@given(st.text(st.characters(codec="latin-1"), max_size=60))
def test_any_accept_field_gets_a_form(text: str) -> None:
    assert preferred(text)


# While a view moves


def test_by_hash_indexes_and_packages_of_the_view_before_are_still_found(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    tags = [published(store, "debian", each, "apt").reference.tag for each in (OLD, NEW)]
    promote(store, f"snapshot/debian:{tags[0]}", "stable")
    with served(tmp_path / "store") as server:
        promote(store, f"snapshot/debian:{tags[1]}", "stable")
        for path, data in OLD.items():
            answer = ask(server.port, "GET", f"/snapshots/debian/stable/{path}")
            assert (answer.body == data) == is_lasting(path), path
        promote(store, f"snapshot/debian:{tags[0]}", "stable")
        lasting = next(path for path in NEW if "by-hash" in path)
        assert ask(server.port, "GET", f"/snapshots/debian/stable/{lasting}").body == NEW[lasting]
        # A dated one is that one alone.
        assert ask(server.port, "GET", f"/snapshots/debian/{tags[0]}/{lasting}").status == 404


def test_a_view_that_lost_a_suite_does_not_serve_its_old_head(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    both = archive({"a": {}, "b": {}})
    tags = [published(store, "debian", each, "apt").reference.tag for each in (both, archive({"a": {}}))]
    for tag in tags:
        promote(store, f"snapshot/debian:{tag}", "stable")
    with served(tmp_path / "store") as server:
        assert ask(server.port, "GET", "/snapshots/debian/stable/dists/b/Release").status == 404


def test_one_connection_reads_all_heads_of_an_archive_from_one_view(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    tags = [
        published(store, "debian", archive({"a": {}, "b": {}}, mark), "apt").reference.tag for mark in ("old", "new")
    ]
    promote(store, f"snapshot/debian:{tags[0]}", "stable")
    with served(tmp_path / "store") as server, closing(http.client.HTTPConnection("127.0.0.1", server.port)) as one:

        def mark(suite: str) -> bytes:
            one.request("GET", f"/snapshots/debian/stable/dists/{suite}/Release")
            return one.getresponse().read().partition(b"Description: ")[2][:3]

        assert mark("a") == b"old"
        promote(store, f"snapshot/debian:{tags[1]}", "stable")
        assert mark("b") == b"old"
        assert b"Description: new" in ask(server.port, "GET", "/snapshots/debian/stable/dists/b/Release").body


# Images


def test_an_image_is_found_by_the_names_that_people_write(site: Site) -> None:
    for image in ("debian", "library/debian", "docker.io/library/debian"):
        answer = site.get(f"/v2/snapshot/build/latest/{image}/manifests/13")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"
        assert answer.headers["docker-content-digest"] == str(Digest.of(answer.body))
    assert site.get("/v2/snapshot/build/2026-11-20/quay.io_5000/team/app/manifests/1.0").status == 200
    assert site.get(f"/v2/snapshot/images/{site.first.lower()}/team/app/tags/list").body == (
        b'{"name": "snapshot/images/%s/team/app", "tags": ["1.0"]}\n' % site.first.lower().encode()
    )


def test_all_that_an_image_consists_of_is_there_by_digest(site: Site) -> None:
    below = f"/v2/snapshot/build/{site.first.lower()}/debian"
    manifest = site.get(f"{below}/manifests/13")
    digest = manifest.headers["docker-content-digest"]
    assert site.get(f"{below}/manifests/{digest}").body == manifest.body
    assert site.get(f"{below}/manifests/{digest}", "HEAD").headers["content-length"] == str(len(manifest.body))
    read = json.loads(manifest.body)
    for each in (read["config"], *read["layers"]):
        assert str(Digest.of(site.get(f"{below}/blobs/{each['digest']}").body)) == each["digest"]
    assert site.get(f"{below}/manifests/{read['config']['digest']}").status in (200, 404)
    assert site.get(f"{below}/manifests/{read['layers'][0]['digest']}").status == 404
    assert json.loads(site.get(f"{below}/referrers/{digest}").body)["manifests"] == []
    elsewhere = Digest.of(OLD["dists/trixie/Release"])
    assert site.get(f"{below}/blobs/{elsewhere}").status == 404


def test_nothing_can_be_pushed_into_a_snapshot(site: Site) -> None:
    for method, path in (
        ("POST", "blobs/uploads/"), ("PUT", "manifests/13"), ("DELETE", "manifests/13"), ("PATCH", "blobs/uploads/1"),
        ("GET", "blobs/uploads/1"), ("DELETE", f"blobs/{Digest.of(b'')}"),
    ):  # fmt: skip
        assert site.get(f"/v2/snapshot/build/latest/debian/{path}", method).status == 405


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("docker.io/library/debian", ("library/debian", "docker.io/library/debian", "debian")),
        ("debian", ("debian",)), ("library/debian", ("library/debian", "debian")),
        ("localhost:5000/a", ("a", "localhost_5000/a")), ("quay.io/a/b", ("a/b", "quay.io/a/b")),
    ],
)  # fmt: skip
def test_names_of_an_image(path: str, names: tuple[str, ...]) -> None:
    assert names_of(path) == names


def test_an_image_that_is_pinned_by_digest_keeps_its_tag_if_it_has_one() -> None:
    entry = Blob(Digest.of(b""), 0).described()
    for name, tag in (("a.b/c:1@sha256:00", "1"), ("a.b/c@sha256:00", ""), ("a.b:5/c", ""), ("a.b:5/c:2", "2")):
        said = {"annotations": {"org.opencontainers.image.ref.name": name}}
        assert images(json.dumps({"manifests": [entry | said]}).encode())[0].tag == tag


# Rights


def test_who_may_read_a_set_reads_its_files_and_nobody_else_does(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    for name in ("mine", "theirs"):
        published(store, name, {"a": name.encode()})
    snapshot(store, "both", ["mine", "theirs"])
    tokens = tmp_path / "tokens"
    mine = token(tokens, "me", "read:snapshot/mine")
    with served(tmp_path / "store", Rules(), tokens=tokens) as server:

        def status(path: str, token: str = "", **fields: str) -> int:
            return ask(server.port, "GET", path, None, token=token, **fields).status

        assert status("/snapshots/mine/latest/a", mine) == 200
        assert status("/snapshots/theirs/latest/a", mine) == 403
        assert status("/snapshots/none/latest/a", mine) == 403
        assert status("/snapshots/both/latest/mine/a", mine) == 403
        assert status("/v2/snapshot/both/latest/x/tags/list", mine) == 403
        for path in ("/snapshots/mine/latest/a", "/snapshots/", "/snapshots/mine/", "/v2/snapshot/a/b/c/tags/list"):
            assert status(path) == 401, path
            assert status(path, Accept=HTML) == 401, path
        page = ask(server.port, "GET", "/snapshots/", token=mine, Accept=HTML).body.decode()
        assert "mine" in page
        assert "theirs" not in page
        kept = ask(server.port, "GET", "/snapshots/mine/2026-11-20-20261120T100000Z/a", token=mine).headers
        assert kept["cache-control"].startswith("private")


# Pages


def test_pages_show_sets_dates_views_and_lines_to_copy(site: Site) -> None:
    every = site.get("/snapshots/", Accept=HTML).body.decode()
    for text in ("build", "debian", "stable", site.first, site.second):
        assert text in every
    assert site.get("/snapshots/build").headers["location"] == "build/"
    assert site.first in site.get("/snapshots/build/").body.decode()
    page = site.get("/snapshots/build/2026-11-20/", Accept=HTML).body.decode()
    url = f"{site.server.url}/snapshots/build/2026-11-20"
    for text in (
        f"deb {url}/debian trixie main", f"pip install --index-url {url}/tools/simple/ NAME",
        f"docker pull {site.server.host}/snapshot/build/2026-11-20/library/debian:13", f"{url}/providers/",
        f"{url}/binaries/deep/er/tool%2B1~2",
    ):  # fmt: skip
        assert text in page
    assert site.get("/snapshots/nothing/", Accept=HTML).status == 404
    assert site.get("/snapshots/build/1999-01-01/", Accept=HTML).status == 404


def test_a_person_walks_through_the_folders_of_a_snapshot(site: Site) -> None:
    page = site.get("/snapshots/build/latest/debian/dists/trixie/", Accept=HTML).body.decode()
    assert "/snapshots/build/latest/debian/dists/trixie/main/" in page
    assert "/snapshots/build/latest/debian/dists/trixie/Release" in page
    assert site.get("/snapshots/build/latest/debian/none/", Accept=HTML).status == 404
    assert site.get("/snapshots/build/latest/debian/dists/trixie/").status == 404


def test_an_archive_with_a_key_is_used_with_it() -> None:
    paths = ["key.asc", "dists/trixie/InRelease", "dists/trixie/main/binary-amd64/Packages"]
    lines = [each.text for each in commands("apt", "https://h.example/snapshots/a/latest", paths, ())]
    assert lines == [
        "curl -fsS https://h.example/snapshots/a/latest/key.asc -o /etc/apt/keyrings/h.example.asc",
        "deb [signed-by=/etc/apt/keyrings/h.example.asc] https://h.example/snapshots/a/latest trixie main",
    ]


# Tables


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.binary(max_size=4), max_size=20), st.text(max_size=4))
def test_a_table_finds_what_was_put_in_and_nothing_else(files: dict[str, bytes], other: str) -> None:
    table = Table(File(path, Blob(Digest.of(data), len(data))) for path, data in files.items())
    assert len(table) == len(files)
    for path, data in files.items():
        found = table.find(path)
        assert found is not None
        assert found.digest == Digest.of(data)
    assert (table.find(other) is None) == (other not in files)
    assert sorted(table.below(other)) == sorted(path for path in files if path.startswith(other))


def test_a_table_keeps_longer_digests_and_types() -> None:
    table = Table([File("a", Blob(Digest.of(b"", "sha512"), 0, "x/y")), File("b", Blob(Digest.of(b""), 0))])
    a, b = table.find("a"), table.find("b")
    assert a is not None
    assert b is not None
    assert (a.digest, a.media_type) == (Digest.of(b"", "sha512"), "x/y")
    assert b.digest == Digest.of(b"")


def rows(count: int) -> Iterator[File]:
    for i in range(count):
        digest = Digest.of(b"%d" % i)
        yield File(f"pool/main/p/package-{i % 9000}/libpackage-{i}-dev_1.2.3-{i}+deb13u1_amd64.deb", Blob(digest, i))


def test_sixty_thousand_files_take_less_than_ten_megabytes() -> None:
    gc.collect()
    tracemalloc.start()
    tables = [Table(rows(20_000)) for _ in range(3)]
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size < 10 << 20
    assert sum(table.weight for table in tables) == pytest.approx(size, rel=0.2)
    started = time.perf_counter()
    for i in range(1000):
        tables[i % 3].find(f"pool/main/p/package-{i}/libpackage-{i}-dev_1.2.3-{i}+deb13u1_amd64.deb")
    assert time.perf_counter() - started < 0.5


def test_what_is_kept_weighs_no_more_than_it_may_and_what_is_used_stays() -> None:
    kept: Bounded[int, bytes] = Bounded(100, len)
    for i in range(50):
        assert kept.get(i, lambda: bytes(10)) == bytes(10)
        kept.get(0, lambda: b"made anew")
        assert kept.weight <= 100
    assert kept.get(0, lambda: b"made anew") == bytes(10)
