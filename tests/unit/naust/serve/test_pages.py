from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import Denied, NotFound
from common.model import Artifact, Digest, Reference, Verdict
from naust import manifest as oci
from naust.proof import bundle
from naust.proof.attached import attach
from naust.push import push_container, push_file
from naust.serve import pages
from naust.serve.pages import Page, page, problem
from naust.serve.pages_catalogue import PER_PAGE
from naust.store.memory import MemoryStore
from tests.lab.catalogue import HINT, NAME, START, Furnished, attest, bom, furnish, image

BASE = "https://naust.example.org"
Visit = Callable[..., str]


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(scope="module")
def there(store: MemoryStore, tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    return furnish(store, tmp_path_factory.mktemp("files"))


@pytest.fixture
def visit(store: MemoryStore, there: Furnished) -> Visit:
    def visit(path: str, status: int = 200, **query: str) -> str:
        return body(page(store, path, query, base_url=BASE), status)

    return visit


def body(found: Page | None, status: int = 200) -> str:
    assert found is not None
    assert (found.status, found.media_type) == (status, "text/html; charset=utf-8")
    return found.body.decode()


def words(html: str) -> str:
    """What a person reads, with single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def path_of(artifact: Artifact) -> str:
    return f"/{artifact.reference.kind}/{artifact.reference.name}/{artifact.reference.tag}"


def links(html: str) -> list[str]:
    return re.findall(r'href="(/[^"]*)"', html)


# Where pages are


@pytest.mark.parametrize(
    "path", ["/v2/", "/api/v1/artifacts", "/metrics", "/other", "/vm/a/b/c", "/container/a/b/diff"]
)
def test_what_is_no_page_is_left_to_the_server(store: MemoryStore, path: str) -> None:
    assert page(store, path, {}) is None


@pytest.mark.parametrize("path", ["/vm/nothing", "/vm/nothing/1-20261120T221500Z", "/vm/UPPER", "/vm/..", "/vm/a/.."])
def test_what_is_not_there_gets_a_page_that_says_what_to_do_next(visit: Visit, path: str) -> None:
    assert "What to do next" in visit(path, 404)


def test_a_digest_leads_to_what_has_it_under_this_name_and_nowhere_else(visit: Visit, there: Furnished) -> None:
    assert there.versions[1].reference.tag in visit(f"/{NAME}@{there.versions[1].digest}")
    assert "no tag of vm/gateway" in visit(f"/vm/gateway%40{there.versions[1].digest}", 404)
    assert "is no digest" in words(visit(f"/{NAME}@sha256:abc", 404))


def test_every_page_forbids_scripts_and_whatever_is_elsewhere(store: MemoryStore, there: Furnished) -> None:
    for path in ("/", f"/{NAME}", path_of(there.disk), "/vm/nothing"):
        found = page(store, path, {})
        assert found is not None
        headers = dict(found.headers)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "script" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        html = found.body.decode()
        assert not re.search(r"<script|<style|\son\w+=|style=|<img|<iframe", html)
        assert not re.search(r'(?:src|href)="(?:https?:)?//', html)


def test_the_style_is_kept_for_good_under_its_hash_alone(store: MemoryStore, visit: Visit) -> None:
    link = re.search(r'rel="stylesheet" href="(/style\.css)\?v=([0-9a-f]+)"', visit("/"))
    assert link
    kept, other = (page(store, link[1], {"v": version}) for version in (link[2], "0"))
    assert kept and other and kept.body == other.body
    assert "immutable" in dict(kept.headers)["Cache-Control"]
    assert dict(other.headers)["Cache-Control"] == "no-cache"


def test_links_and_commands_fit_a_server_below_a_path(store: MemoryStore, there: Furnished) -> None:
    html = body(page(store, path_of(there.disk), {}, base_url="https://example.org/store/"))
    assert all(link.startswith("/store/") for link in links(html))
    assert f"naust pull https://example.org/store{path_of(there.disk)}" in html


@pytest.mark.parametrize(
    "evil", ["https://a'b", "javascript:alert(1)", "https://a b", "https://a\n", 'https://a"', "https://$(x)"]
)
def test_a_host_that_is_none_gets_into_no_command(store: MemoryStore, there: Furnished, evil: str) -> None:
    html = body(page(store, path_of(there.disk), {}, base_url=evil))
    assert f"naust pull https://SERVER{path_of(there.disk)}" in html
    assert f'href="{path_of(there.disk).rsplit("/", 1)[0]}"' in html


# The catalogue


def test_the_newest_comes_first_and_channels_show_at_their_version(visit: Visit, there: Furnished) -> None:
    text = words(visit("/"))
    tags = [each.reference.tag for each in there.versions]
    assert text.index(tags[2]) < text.index(tags[1]) < text.index(tags[0])
    assert re.search(rf"{tags[1]} production", text)
    assert re.search(rf"{tags[0]} revoked", text)


def test_kind_and_words_narrow_the_list(visit: Visit, there: Furnished) -> None:
    assert "gateway" not in visit("/", kind="container")
    assert "traefik" not in visit("/vm")
    assert "1 artefact with" in words(visit("/", q="TRAEFIK 3.7.14"))
    assert "1 artefact with" in words(visit("/", q="production"))
    assert "1 artefact with" in words(visit("/", q=str(there.disk.digest)))
    assert "3 artefacts with" in words(visit("/", q="reverse PROXY acme"))
    assert "Nothing fits" in visit("/", q="traefik nonsense")
    assert visit("/", kind="nonsense") == visit("/")


def test_of_each_name_the_newest_can_be_shown_alone(visit: Visit, there: Furnished) -> None:
    html = visit("/", show="newest")
    assert there.versions[2].reference.tag in html
    assert there.versions[1].reference.tag not in html


def test_a_long_list_comes_in_pages_that_keep_what_was_asked(tmp_path: Path) -> None:
    store, file = MemoryStore(), tmp_path / "file"
    for number in range(PER_PAGE * 2 + 1):
        file.write_text(str(number))
        push_file(store, file, Reference.parse(f"file/thing-{number:03}"), version="1", now=START)
    seen, path, query = [], "/", {"q": "thing", "kind": "file"}
    for _ in range(3):
        html = body(page(store, path, query))
        seen += re.findall(r'href="/file/(thing-\d+)"', html)
        older = re.search(r'rel="next" href="/\?q=thing&amp;kind=file&amp;page=(\d)"', html)
        query = query | {"page": older[1]} if older else query
    assert (len(seen), len(set(seen))) == (PER_PAGE * 2 + 1, PER_PAGE * 2 + 1)
    assert "page 3 of 3" in words(html)
    for odd in ("0", "-1", "x", "99999999999", "²", "7"):
        body(page(store, "/", {"page": odd}))


def test_an_empty_store_says_how_to_begin() -> None:
    assert "naust push" in body(page(MemoryStore(), "/", {}))


def test_damaged_artefacts_are_counted(tmp_path: Path) -> None:
    store = _damaged(tmp_path)
    assert "1 artefact cannot be read" in words(body(page(store, "/", {})))
    assert "Damaged" in body(page(store, "/file/thing/1-20261120T221500Z", {}), 500)


def _damaged(folder: Path) -> MemoryStore:
    store, file = MemoryStore(), folder / "file"
    file.write_text("x")
    found = push_file(store, file, Reference.parse("file/thing"), version="1", now=START)
    store._contents[found.digest] = b"{"
    return store


# Who may see what


def test_nobody_learns_which_names_exist_that_are_not_for_them(store: MemoryStore, there: Furnished) -> None:
    def see(path: str, **query: str) -> Page:
        found = page(store, path, query, readable=lambda name: name.startswith("container/"))
        assert found is not None
        return found

    assert "gateway" not in see("/").body.decode()
    for path in (
        "/vm/gateway",
        "/vm/nothing",
        path_of(there.disk),
        "/vm/gateway/1",
        f"/vm/gateway@{there.disk.digest}",
    ):
        assert see(path).status == 403
    assert see("/vm/gateway").body.replace(b"gateway", b"nothing") == see("/vm/nothing").body
    assert see("/vm/gateway/diff", a="1", b="2").status == 403
    assert "token" in see("/vm/gateway").body.decode()


# One name


def test_a_name_has_its_versions_channels_and_their_history(visit: Visit, there: Furnished) -> None:
    html = visit(f"/{NAME}")
    text, tags = words(html), [each.reference.tag for each in there.versions]
    assert set(map(path_of, there.versions)) <= set(links(html))
    assert re.search(rf"production {tags[1]}", text)
    assert re.search(rf"2026-11-25 22:15 production {tags[2]} {tags[1]} anna@build1 ?: ?p99 grew", text)
    assert text.index("p99 grew") < text.index("passed the soak")
    assert f"{tags[0]} revoked" in text


# One artefact


def test_an_artefact_shows_all_that_is_known_of_it(visit: Visit, there: Furnished) -> None:
    found = there.versions[2]
    html = visit(path_of(found))
    text = words(html)
    for said in (
        str(found.digest),
        "2026-11-22 22:15 UTC",
        "v1.4-12-g0a1b2c3",
        str(found.made_from),
        "base debian-12 12.9",
        "file roles/traefik/tasks/install.yml",
        "Packages 5, from the CycloneDX document attached to it",
        "openssl 3.0.17-1 deb",
        "signature",
        "provenance",
        HINT,
        "195.3 KiB",
        "naust verify",
    ):
        assert said in text, said
    assert 'href="https://git.example.org/team/traefik"' in html
    assert "package libc6" not in text, "packages come from the SBOM if there is one"
    assert "Revoked" not in text


def test_packages_can_be_searched(visit: Visit, there: Furnished) -> None:
    text = words(visit(path_of(there.versions[2]), packages="OpenSSL"))
    assert "1 package with" in text
    assert "libexample" not in text
    assert "0 packages with" in words(visit(path_of(there.versions[2]), packages="<b>"))


def test_without_an_sbom_packages_are_those_of_the_inputs(tmp_path: Path) -> None:
    store, inputs = MemoryStore(), [{"name": "package libc6", "version": "2.36-9", "digest": "x"}]
    made = push_container(
        store, image(store, "container/a", [b"x"]), name="a", version="1", annotations={oci.INPUTS: json.dumps(inputs)}
    )
    text = words(body(page(store, path_of(made), {})))
    assert "Packages 1, from its list of inputs" in text
    assert "libc6 2.36-9" in text


def test_what_is_revoked_says_so_in_words_with_the_reason(visit: Visit, there: Furnished) -> None:
    text = words(visit(path_of(there.versions[0])))
    assert "Revoked: do not use this artefact." in text
    assert "by ben@build2: CVE-2026-1234 in its TLS stack" in text


def test_what_is_built_on_something_revoked_says_so_too(store: MemoryStore, there: Furnished) -> None:
    origin = oci.parse(store.manifest(NAME, str(there.versions[0].digest)), NAME)
    store_layers = []
    for blob in origin.layers:
        with store.read(NAME, blob.digest) as file:
            store_layers.append(file.read())
    made = push_container(store, image(store, "container/child", [*store_layers, b"more"]), name="child", version="1")
    assert "is built on it" in words(body(page(store, path_of(made), {})))


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    store = MemoryStore()
    made = push_container(store, image(store, "container/a", [b"one", b"two"]), name="a", version="1")
    del store._contents[Digest.of(b"two")]
    text = words(body(page(store, path_of(made), {})))
    assert "1 part missing: this artefact cannot be pulled" in text


def test_an_attestation_counts_only_for_what_it_is_about(tmp_path: Path) -> None:
    store = MemoryStore()
    made = push_container(store, image(store, "container/a", [b"one"]), name="a", version="1")
    attest(store, "container/a", made.digest, bundle.SBOM, bom({"openssl": "1"}), about=f"sha256:{'00' * 32}")
    attach(store, "container/a", made.digest, b"{", media_type=bundle.BUNDLE, artifact_type=bundle.BUNDLE)
    text = words(body(page(store, path_of(made), {})))
    assert "it is about another artefact" in text
    assert "cannot be read" in text
    assert "openssl" not in text


def test_a_verdict_is_shown_only_if_somebody_made_one(store: MemoryStore, there: Furnished) -> None:
    verdicts = (Verdict("signed by the build server", True, "1 signature", "1"), Verdict("age", False, "9 d", "7 d"))
    html = body(page(store, path_of(there.disk), {}, verdicts=lambda artifact: verdicts))
    assert "signed by the build server passed" in words(html)
    assert "age failed 9 d 7 d" in words(html)
    assert "passed" not in words(body(page(store, path_of(there.disk), {})))


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (BASE, ["docker pull naust.example.org/{r}", "crane pull naust.example.org/{r} traefik-{t}.tar"]),
        ("http://127.0.0.1:8440", ["docker pull 127.0.0.1:8440/{r}", "crane pull 127.0.0.1:8440/{r} traefik-{t}.tar"]),
        ("http://ship:80", ["docker pull ship:80/{r}", "crane pull --insecure ship:80/{r} traefik-{t}.tar"]),
        (
            "https://[::1]:8440",
            ["docker pull &#39;[::1]:8440/{r}&#39;", "naust pull &#39;https://[::1]:8440/{n}/{t}&#39;"],
        ),
    ],
)
def test_commands_for_an_image_can_be_pasted(
    store: MemoryStore, there: Furnished, base: str, expected: list[str]
) -> None:
    found = there.versions[2].reference
    html = body(page(store, path_of(there.versions[2]), {}, base_url=base))
    for each in (*expected, "seter deploy SYSTEM TARGET --store"):
        assert f'value="{each.format(r=found, n=NAME, t=found.tag)}' in html
    assert "curl" not in html


def test_commands_for_a_file_quote_its_name(visit: Visit, there: Furnished) -> None:
    url = f"{BASE}{path_of(there.disk)}"
    html = visit(path_of(there.disk))
    assert f"curl --fail --location --output &#39;disk image.qcow2&#39; &#39;{url}?download&#39;" in html
    assert f"oras pull naust.example.org/{there.disk.reference}" in html
    assert "docker pull" not in html


@pytest.mark.parametrize("host", ["ship:80", "127.0.0.1:8440", "localhost:8440"])
def test_oras_is_told_where_there_is_no_tls(store: MemoryStore, there: Furnished, host: str) -> None:
    html = body(page(store, path_of(there.disk), {}, base_url=f"http://{host}"))
    assert f"oras pull --plain-http {host}/{there.disk.reference}" in html


def test_an_index_shows_its_platforms(tmp_path: Path) -> None:
    store = MemoryStore()
    made = push_container(store, image(store, "container/a", [b"one"]), name="a", version="1")
    child = {
        "mediaType": oci.MANIFEST,
        "digest": str(made.digest),
        "size": len(store.manifest("container/a", str(made.digest))),
    }
    index = {
        "schemaVersion": 2,
        "mediaType": oci.INDEX,
        "manifests": [child | {"platform": {"os": "linux", "architecture": "arm64"}}],
    }
    store.put_manifest("container/a", "multi", oci.encode(index))
    assert "Platforms 1 platform" in (text := words(body(page(store, "/container/a/multi", {}))))
    assert "linux/arm64" in text


# Two versions


def test_a_difference_has_packages_parts_sizes_and_annotations(visit: Visit, there: Furnished) -> None:
    text = words(visit(f"/{NAME}/diff", a=there.versions[1].reference.tag, b=there.versions[2].reference.tag))
    for said in (
        "1 added, 1 removed, 1 changed, 3 the same",
        "openssl changed 3.0.16-1 3.0.17-1",
        "libold removed 1.0 none",
        "libnew added none 2.0",
        "In both 1 part, 195.3 KiB",
        "org.opencontainers.image.version changed 3.7.14 3.7.15",
    ):
        assert said in text, said


def test_a_difference_can_be_asked_for_and_can_be_none(visit: Visit, there: Furnished) -> None:
    assert "Choose two versions" in visit(f"/{NAME}/diff")
    tag = there.versions[1].reference.tag
    assert "stand for the same artefact" in visit(f"/{NAME}/diff", a=tag, b="production")
    visit(f"/{NAME}/diff", 404, a=tag, b="nothing")
    visit("/vm/nothing/diff", 404, a="1", b="2")


def test_a_tag_may_be_called_diff() -> None:
    store = MemoryStore()
    made = push_container(store, image(store, "container/a", [b"one"]), name="a", version="1")
    store.put_manifest("container/a", "diff", store.manifest("container/a", made.reference.tag))
    assert str(made.digest) in body(page(store, "/container/a/diff", {}))
    assert "two versions" in body(page(store, "/container/a/diff", {"a": "diff", "b": "diff"}))


# Errors


def test_an_error_is_a_page_that_keeps_the_store_to_itself() -> None:
    html = body(problem(Denied("you may not", details="/srv/naust", resolution="Say `please` <now>.")), 403)
    assert "<code>please</code> &lt;now&gt;" in html
    assert "/srv/naust" not in html
    assert problem(NotFound("x", resolution="y"), status=410).status == 410


# Whatever comes out of an artefact is untrusted


class _Outline(HTMLParser):
    """The elements of a page with the names of their attributes, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, *(name for name, _ in attrs)))


def outline(html: str) -> list[tuple[str, ...]]:
    parser = _Outline()
    parser.feed(html)
    return parser.seen


def said_everywhere(text: str) -> tuple[MemoryStore, Artifact, Artifact]:
    """Two artefacts that say the text wherever somebody can say something."""
    store = MemoryStore()
    inputs = json.dumps(
        [{"name": f"package p{text}", "version": text}, {"name": f"base {text}", "version": text, "digest": text}]
    )
    annotations = {f"k{text}": text, oci.INPUTS: inputs, oci.REVISION: text, "org.opencontainers.image.created": text}
    made = []
    for number in (1, 2):
        content = oci.Blob(*store.add("file/a", _bytes(b"%d" % number)), media_type=f"m{text}")
        store.add("file/a", _bytes(oci.EMPTY_CONFIG))
        said = annotations | {"number": f"{number}{text}", oci.VERSION: f"v{text}"}
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": oci.MANIFEST,
                "artifactType": f"t{text}",
                "config": oci.Blob(Digest.of(oci.EMPTY_CONFIG), 2, oci.EMPTY).described(),
                "layers": [content.described(f"t{text}")],
                "annotations": said,
            }
        ).encode()
        store.put_manifest("file/a", f"{number}-20261120T221500Z", manifest)
        made.append(oci.artifact("file/a", f"{number}-20261120T221500Z", manifest))
        packages = {f"lib{text}": f"{number}{text}", f"only{number}{text}": "1"}
        listed = [{"type": "library", "name": name, "version": version} for name, version in packages.items()]
        attest(store, "file/a", made[-1].digest, bundle.SBOM, {"bomFormat": "CycloneDX", "components": listed})
        attest(store, "file/a", made[-1].digest, f"p{text}", {})
        attach(
            store,
            "file/a",
            made[-1].digest,
            b"{}",
            media_type="x/y",
            artifact_type=f"z{text}".encode("utf-8", "replace").decode(),
        )
    return store, made[0], made[1]


def _bytes(data: bytes) -> io.BytesIO:
    return io.BytesIO(data)


def outlines(text: str) -> list[list[tuple[str, ...]]]:
    store, first, second = said_everywhere(text)
    visits: list[tuple[str, Mapping[str, str]]] = [
        ("/", {}),
        ("/", {"q": f"v{text}"[:50]}),
        ("/file/a", {}),
        (path_of(first), {}),
        (path_of(first), {"packages": f"nothing{text}"}),
        ("/file/a/diff", {"a": first.reference.tag, "b": second.reference.tag}),
    ]
    return [
        outline(body(page(store, path, query, verdicts=lambda each: (Verdict(text, False, text, text),))))
        for path, query in visits
    ]


HARMLESS = "a"
tricky = st.text(
    st.one_of(st.sampled_from("<>\"'&/`={}%\\\n\t\x00\u202e\ud800#!-"), st.characters()), min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(tricky.map(lambda text: f"a{text}"))
def test_no_text_of_an_artefact_becomes_markup(text: str) -> None:
    found, expected = outlines(text), outlines(HARMLESS)
    # A search may find nothing where a harmless word finds both: then rows are missing, and nothing else is there.
    assert {each for page_ in found for each in page_} <= {each for page_ in expected for each in page_} | {
        ("p", "class")
    }
    assert found[2:] == expected[2:]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</code></td><h1>",
        "{{ 7777 * 7777 }}{% raw %}",
        "javascript:alert(1)",
        "--><!--",
        "&lt;b&gt;",
    ],
)
def test_known_attacks_stay_text(text: str) -> None:
    assert outlines(f"a{text}")[2:] == outlines(HARMLESS)[2:]
    store, first, _ = said_everywhere(text)
    html = body(page(store, path_of(first), {}))
    assert "60481729" not in html
    assert not re.search(r'href="(?!/|#|data:image/svg\+xml,|https?://)', html)


def test_text_that_turns_or_hides_is_shown_as_what_it_is() -> None:
    store, first, _ = said_everywhere("safe\u202egpj.exe\x00\ud800")
    html = body(page(store, path_of(first), {}))
    assert "safe\ufffdgpj.exe\ufffd\ufffd" in html
    assert not set("\u202e\x00") & set(html)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text(max_size=80),
    st.dictionaries(st.sampled_from(["q", "kind", "show", "page", "packages", "a", "b", "v"]), st.text(max_size=30)),
    st.text(max_size=30),
)
def test_whatever_is_asked_for_there_is_an_answer(
    store: MemoryStore, there: Furnished, path: str, query: dict[str, str], base: str
) -> None:
    for asked in (f"/{path}", f"/{NAME}/{path}", f"/vm/{path}", path_of(there.disk), f"/{NAME}/diff"):
        found = page(store, asked, query, base_url=base)
        assert found is None or found.status in (200, 404)


KEYS = ("components", "name", "purl", "version", "subject", "digest", "predicate", "x")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(json_values, st.sampled_from(["bundle", "statement", "bom"]))
def test_no_attachment_breaks_the_page(value: object, where: str) -> None:
    store = MemoryStore()
    made = push_container(store, image(store, "container/a", [b"x"]), name="a", version="1")
    if where == "bom":
        attest(store, "container/a", made.digest, bundle.SBOM, {"bomFormat": "CycloneDX", "components": value})
    else:
        plain = json.dumps(value).encode()
        document = bundle.bundle(plain, b"s", HINT) if where == "statement" else plain
        attach(store, "container/a", made.digest, document, media_type=bundle.BUNDLE, artifact_type=bundle.BUNDLE)
    body(page(store, path_of(made), {}))


# What it costs


def test_a_page_with_2000_packages_is_made_at_once(tmp_path: Path) -> None:
    """40 ms of a quiet core; the limit is for a busy one, and for what grows with the square of the packages."""
    store = MemoryStore()
    made = [push_container(store, image(store, "container/a", [b"%d" % n]), name="a", version=f"{n}") for n in range(4)]
    for each in made:
        listed = {f"package-{number}-with-a-name": f"1:2.{number}-3+deb12u1" for number in range(2000)}
        attest(store, "container/a", each.digest, bundle.SBOM, bom(listed | {"number": each.version}))
    taken = []
    for each in made:  # of the first, templates are read too; each SBOM is read for the first time
        start = time.process_time()
        html = body(page(store, path_of(each), {}))
        taken.append(time.process_time() - start)
        assert html.count("<tr>") == 2002
    assert min(taken[1:]) < 1, taken


def test_a_manifest_with_very_many_layers_gives_a_page_of_bounded_size() -> None:
    store = MemoryStore()
    blobs = [oci.Blob(*store.add("container/a", _bytes(b"x")))]
    layers = [blobs[0].described() for _ in range(20_000)]
    config = oci.Blob(*store.add("container/a", _bytes(b"{}")), media_type=oci.CONFIG)
    manifest = oci.encode(
        {
            "schemaVersion": 2,
            "config": config.described(),
            "layers": layers,
            "annotations": {f"k{n}": "v" for n in range(5000)},
        }
    )
    store.put_manifest("container/a", "big", manifest)
    html = body(page(store, "/container/a/big", {}))
    assert len(html) < 600_000
    assert "Only the first 500 are shown" in html


# Colours


def _colours(style: str) -> tuple[dict[str, str], dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", style, re.S)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks[:2])
    return light, light | dark


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, "contrast ratio" and "relative luminance"."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


PAIRS = [
    *((text, ground) for text in ("text", "dim", "accent") for ground in ("ground", "raised")),
    ("on-accent", "accent"),
    ("good", "good-ground"),
    ("bad", "bad-ground"),
    ("on-banner", "banner"),
]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_can_be_read_in_light_and_dark(dark: bool) -> None:
    colours = _colours((pages.TEMPLATES / "style.css").read_text())[dark]
    weak = {pair: round(contrast(*(colours[each] for each in pair)), 2) for pair in PAIRS}
    assert not {pair: ratio for pair, ratio in weak.items() if ratio < 4.5}
    for ground in ("ground", "raised"):  # edges of fields, WCAG 2.2, 1.4.11
        assert contrast(colours["edge"], colours[ground]) >= 3


def test_no_colour_escapes_the_check() -> None:
    style = (pages.TEMPLATES / "style.css").read_text()
    rules = re.sub(r":root \{.*?\}", "", style, flags=re.S).partition("@media print")[0]
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", rules)
