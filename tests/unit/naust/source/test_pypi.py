"""Python packages: what is read from lock files and from pages that strangers wrote, what fits, and our own pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from common.errors import BadDefinition, BadInput, Corrupt, NotFound
from common.model import Digest
from naust.source import pypi_page
from naust.source.definition import LOCAL, Pypi
from naust.source.interface import Kept, Survey
from naust.source.pypi import PypiUpstream
from naust.source.pypi_index import Offered, pages
from naust.source.pypi_lock import pins
from naust.source.pypi_page import page
from naust.source.pypi_tags import expanded, targets
from naust.source.state import checked_path
from naust.wire.transport import Transport
from tests.lab.indexes import PAGE, Web, listed, sha256, web, wheel

LINUX = targets("3.11", ("manylinux_2_36_x86_64",))
ENVIRONMENTS = LINUX[0].environments()
HEX = "ab" * 32


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as found:
        yield found


def quiet(_: object) -> None:
    """No report."""


def upstream(site: Web, **said: object) -> PypiUpstream:
    fields = {"platforms": ("manylinux_2_36_x86_64",), "url": f"{site.base}/simple"} | said
    return PypiUpstream.of(Pypi("tools", **fields))  # type: ignore[arg-type]


def locked(folder: Path, *files: tuple[str, bytes], name: str = "requirements.txt") -> str:
    """A lock file that names these wheels."""
    lines = []
    for filename, data in files:
        project, version = filename.split("-")[:2]
        lines.append(f"{project}=={version} --hash=sha256:{sha256(data)}\n")
    (folder / name).write_text("".join(lines))
    return str(folder / name)


def surveyed(found: PypiUpstream, previous: str = "") -> Survey:
    survey = found.survey(Transport(), previous, quiet)
    assert survey is not None
    return survey


def whole(survey: Survey, digest: Digest | None = None) -> list[Kept]:
    return [Kept(item, item.digest or digest or Digest.of(b"?"), max(item.size, 1)) for item in survey.items]


# Lock files


def lock(folder: Path, text: str) -> str:
    path = folder / "lock.txt"
    path.write_text(text)
    return str(path)


def test_a_lock_file_of_pip_compile_is_read(tmp_path: Path) -> None:
    text = (
        "# made by pip-compile\n--index-url https://example.org/simple\n"
        f"Six==1.17.0 \\\n    --hash=sha256:{HEX} \\\n    --hash=sha256:{'cd' * 32}\n    # via me\n"
        f"zope.interface[x]==7.1 ; python_version < '3.12' \\\n    --hash=sha256:{HEX}  # note\n"
        f"pywin32==300 ; sys_platform == 'win32' --hash=sha256:{HEX}\n"
    )
    found = pins([lock(tmp_path, text)], ENVIRONMENTS)
    assert [(pin.project, str(pin.version), len(pin.hashes)) for pin in found] == [
        ("six", "1.17.0", 2),
        ("zope-interface", "7.1", 1),
    ]


def test_lock_files_may_name_others_and_one_project_in_two_versions_is_both(tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text(f"six==1.16 --hash=sha256:{HEX}\n")
    path = lock(tmp_path, f"-r base.txt\nsix==1.17 --hash=sha256:{HEX}\n")
    assert [str(pin.version) for pin in pins([path], ENVIRONMENTS)] == ["1.16", "1.17"]


def test_all_faults_of_a_lock_file_are_named_with_their_lines(tmp_path: Path) -> None:
    text = f"six>=1\nflit==3.9\n\n-e .\nblack @ https://example.org/b.whl\n=={HEX}\ngood==1 --hash=sha256:{HEX}\n"
    with pytest.raises(BadDefinition) as error:
        pins([lock(tmp_path, text)], ENVIRONMENTS)
    assert [problem.line for problem in error.value.problems] == [1, 2, 4, 5, 6]
    assert "flit has no sha256 hash" in error.value.details


def test_lock_files_in_a_circle_end(tmp_path: Path) -> None:
    path = lock(tmp_path, "-r lock.txt\n")
    with pytest.raises(BadDefinition, match="1 problem"):
        pins([path], ENVIRONMENTS)


def test_a_lock_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        pins([str(tmp_path / "none.txt")], ENVIRONMENTS)


@given(st.text(max_size=300))
def test_any_text_as_lock_file_is_read_or_refused(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lock.txt").write_text(text, encoding="utf-8", errors="replace")
        try:
            found = pins([str(Path(folder) / "lock.txt")], ENVIRONMENTS)
        except BadInput:
            return
        assert all(pin.hashes for pin in found)


# Platforms


def test_a_glibc_takes_wheels_for_all_older_ones_and_no_newer_one() -> None:
    found = list(expanded("manylinux_2_28_x86_64"))
    assert found[0] == "manylinux_2_28_x86_64" and "manylinux2014_x86_64" in found and found[-1] == "linux_x86_64"
    assert "manylinux_2_29_x86_64" not in found
    assert next(expanded("manylinux2014_aarch64")) == "manylinux_2_17_aarch64"


@pytest.mark.parametrize("wrong", ["linux-x86_64", "../x", "", "Linux_x86_64"])
def test_what_is_no_platform_is_refused(wrong: str) -> None:
    with pytest.raises(BadInput):
        list(expanded(wrong))


def test_markers_are_judged_by_the_platform_and_not_by_this_machine() -> None:
    windows = targets("3.13", ("win_amd64",))[0].environments()[0]
    assert (windows["sys_platform"], windows["python_version"]) == ("win32", "3.13")
    arm = targets("3.11", ("manylinux2014_aarch64",))[0].environments()[0]
    assert (arm["sys_platform"], arm["platform_machine"]) == ("linux", "aarch64")


@pytest.mark.parametrize("wrong", ["3", "2.7", "3.x", "latest"])
def test_what_is_no_python_is_refused(wrong: str) -> None:
    with pytest.raises(BadInput, match="no version of Python"):
        targets(wrong, ())


# Pages


def html(*anchors: str, head: str = "") -> bytes:
    return f"<!DOCTYPE html><html><head>{head}</head><body>{''.join(anchors)}</body></html>".encode()


def names(
    data: bytes, kind: str = "text/html", project: str = "six", url: str = "https://i.org/simple/six/"
) -> list[str]:
    return [file.filename for file in page(project, data, kind, url)]


def test_an_html_page_says_the_same_as_one_in_json() -> None:
    name = "six-1.0-py3-none-any.whl"
    anchor = (
        f'<a href="../../p/{name}#sha256={HEX}" data-requires-python="&gt;=3.8" data-yanked="bad &amp; worse" '
        f'data-core-metadata="sha256={HEX}">six</a>'
    )
    said = {
        "filename": name,
        "url": f"../../p/{name}",
        "hashes": {"sha256": HEX},
        "requires-python": ">=3.8",
        "yanked": "bad & worse",
        "core-metadata": {"sha256": HEX},
    }
    document = {"meta": {"api-version": "1.0"}, "name": "six", "files": [said]}
    of_json = page("six", json.dumps(document).encode(), PAGE, "https://i.org/simple/six/")
    assert page("six", html(anchor), "text/html; charset=utf-8", "https://i.org/simple/six/") == of_json
    assert of_json[0].url == f"https://i.org/p/{name}" and of_json[0].digest == Digest("sha256", HEX)


def test_a_page_can_be_asked_for_some_versions_however_they_are_written() -> None:
    names_ = (
        "six-1.0.0-py3-none-any.whl",
        "six-1.0-2-py3-none-any.whl",
        "six-1.0.tar.gz",
        "six-1.zip",
        "six-1.1.tar.gz",
    )
    data = html(*(f'<a href="{name}">x</a>' for name in (*names_, "six", "-", "six-1.0.exe")))
    found = page("six", data, "text/html", "https://i.org/", {Version("1.0")})
    assert [file.filename for file in found] == list(names_[:4])


def test_base_is_where_links_of_a_page_begin() -> None:
    data = html('<a href="six-1.0.tar.gz">x</a>', head='<base href="https://files.org/a/">')
    assert page("six", data, "text/html", "https://i.org/simple/six/")[0].url == "https://files.org/a/six-1.0.tar.gz"


HOSTILE = (
    "../../../etc/cron.d/x",
    "/etc/passwd",
    "..%2f..%2fsix-1.0.tar.gz",
    "six-1.0.tar.gz%00.whl",
    "six-1.0-py3-none-any.whl%0a",
    "&#46;&#46;/&#x2e;&#x2e;/six-1.0-py3-none-any.whl&#0;",
    "C:\\six-1.0.tar.gz",
    "file:///etc/six-1.0.tar.gz",
    "javascript:six-1.0.tar.gz",
    "http://[::bad/six-1.0.tar.gz",
    "https://user:secret@other.org:99999/six-1.0.tar.gz",
    "seven-1.0.tar.gz",
    "six-1.0-py3-none-any.whl.exe",
    f"six-1.0+{'a' * 400}-py3-none-any.whl",
)


@pytest.mark.parametrize("target", HOSTILE)
def test_a_hostile_name_in_a_page_is_not_there(target: str) -> None:
    assert names(html(f'<a href="{target}">six-1.0.tar.gz</a>')) == []
    said = {"filename": target, "url": target, "hashes": {}}
    assert names(json.dumps({"meta": {"api-version": "1.0"}, "files": [said]}).encode(), PAGE) == []


@pytest.mark.parametrize(
    "name", ["../six-1.0.tar.gz", "six-1.0-py3-none-any.whl/..", "s\0x-1.0.tar.gz", "é-1.0.tar.gz"]
)
def test_what_could_be_a_path_is_no_file_name(name: str) -> None:
    assert pypi_page.names(name) is None


def test_a_password_in_a_link_is_dropped() -> None:
    found = page("six", html('<a href="https://u:secret@f.org/six-1.0.tar.gz">x</a>'), "text/html", "https://i.org/")
    assert found[0].url == "https://f.org/six-1.0.tar.gz"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html"),
        (b"", "text/html"),
        (b"{}", PAGE),
        (b'{"meta": {"api-version": "2.0"}, "files": []}', PAGE),
        (b"[" * 100_000, PAGE),
        (html('<a href="x">', head='<meta name="pypi:repository-version" content="2.0">'), "text/html"),
    ],
)
def test_a_page_of_an_error_is_no_page_of_an_index(data: bytes, kind: str) -> None:
    with pytest.raises(Corrupt, match="no page of a Python package index"):
        page("six", data, kind, "https://i.org/simple/six/")


def test_a_page_without_end_is_refused(site: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypi_page, "LARGEST", 1 << 16)
    site.add("/simple/six/", b"<a href=x>" * 20_000, "text/html")
    path = lock(tmp_path, f"six==1.0 --hash=sha256:{HEX}\n")
    with pytest.raises(Corrupt, match="longer than 65536 bytes"):
        surveyed(upstream(site, lock=(path,)))


def test_a_page_with_too_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypi_page, "MOST", 100)
    with pytest.raises(Corrupt, match="more than 100 files"):
        names(html(*['<a href="six-1.0.tar.gz">x</a>'] * 101))


@given(st.text(max_size=400), st.sampled_from(["text/html", PAGE]))
def test_any_page_is_read_or_refused(text: str, kind: str) -> None:
    try:
        found = page("six", text.encode("utf-8", "replace"), kind, "https://i.org/simple/six/")
    except Corrupt:
        return
    assert all(checked_path(f"packages/{file.filename}") for file in found)


@given(st.text(max_size=60))
def test_whatever_a_link_says_its_name_stays_below_the_source(text: str) -> None:
    anchors = (f'<a href="{escape(text)}">x</a>', f'<a href="https://f.org/{escape(text)}-1.0.tar.gz">x</a>')
    for name in names(html(*anchors), project="x"):
        assert checked_path(f"packages/{name}").count("/") == 1


# What is wanted


def test_from_a_lock_file_come_the_wheels_that_fit_and_have_its_hashes(site: Web, tmp_path: Path) -> None:
    fitting = wheel("alpha", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    others = (wheel("alpha", "1.0", tag="cp311-cp311-win_amd64"), wheel("alpha", "1.0", tag="cp312-cp312-win_amd64"))
    source = ("alpha-1.0.tar.gz", b"source")
    strange = wheel("alpha", "1.0", tag="cp311-cp311-manylinux_2_5_x86_64")
    listed(site, "alpha", fitting, *others, source, strange)
    path = locked(tmp_path, fitting, others[0], ("alpha-1.0.tar.gz", source[1]))
    path = lock(tmp_path, f"alpha==1.0 {' '.join(f'--hash=sha256:{sha256(d)}' for _, d in (fitting, *others, source))}")
    found = surveyed(upstream(site, lock=(path,)))
    assert [item.path for item in found.items] == [f"packages/{fitting[0]}"]
    package = found.items[0].package
    assert package and (package.name, package.version, package.architecture) == ("alpha", "1.0", "x86_64")


def test_a_source_distribution_comes_where_no_wheel_fits(site: Web, tmp_path: Path) -> None:
    source = ("alpha-1.0.tar.gz", b"source")
    other = wheel("alpha", "1.0", tag="cp311-cp311-win_amd64")
    listed(site, "alpha", source, other)
    path = lock(tmp_path, f"alpha==1.0 --hash=sha256:{sha256(source[1])} --hash=sha256:{sha256(other[1])}")
    assert [item.path for item in surveyed(upstream(site, lock=(path,))).items] == ["packages/alpha-1.0.tar.gz"]
    both = surveyed(upstream(site, lock=(path,), platforms=("manylinux2014_x86_64", "win_amd64")))
    assert len(both.items) == 2


def test_it_is_said_that_a_source_distribution_has_to_be_built(site: Web, tmp_path: Path) -> None:
    source, builder = ("alpha-1.0.tar.gz", b"source"), wheel("setuptools", "80.0")
    listed(site, "alpha", source)
    listed(site, "setuptools", builder)
    said: list[str] = []
    alone = lock(tmp_path, f"alpha==1.0 --hash=sha256:{sha256(source[1])}")
    upstream(site, lock=(alone,)).survey(Transport(), "", lambda event: said.append(event.message))
    assert any("alpha: only as source" in each for each in said)
    said.clear()
    both = (alone, locked(tmp_path, builder))
    upstream(site, lock=both).survey(Transport(), "", lambda event: said.append(event.message))
    assert not any("only as source" in each for each in said)


def test_what_is_not_for_this_python_does_not_fit(site: Web, tmp_path: Path) -> None:
    file = wheel("alpha", "1.0")
    listed(site, "alpha", file, **{"requires-python": ">=3.12"})
    listed(site, "beta", beta := wheel("beta", "1.0"), **{"requires-python": "nonsense"})
    found = surveyed(upstream(site, lock=(locked(tmp_path, file, beta),)))
    assert [item.path for item in found.items] == ["packages/alpha-1.0", f"packages/{beta[0]}"]


def test_one_project_that_is_missing_keeps_nobody_else_and_is_named(site: Web, tmp_path: Path) -> None:
    good, gone = wheel("alpha", "1.0"), wheel("beta", "2.0")
    listed(site, "alpha", good)
    found = upstream(site, lock=(locked(tmp_path, good, gone),))
    survey = surveyed(found)
    assert [item.path for item in survey.items] == [f"packages/{good[0]}", "packages/beta-2.0"] and not survey.mark
    with pytest.raises(NotFound, match=r"nothing of beta 2\.0 to be had"):
        found.opened(Transport(), survey.items[1])
    with found.opened(Transport(), survey.items[0], 10) as source:
        assert source.read() == good[1][10:]


def test_the_same_index_has_the_same_mark(site: Web, tmp_path: Path) -> None:
    file, newer = wheel("alpha", "1.0"), wheel("alpha", "1.1")
    listed(site, "alpha", file, newer)
    path = locked(tmp_path, file)
    first = surveyed(upstream(site, lock=(path,)))
    assert upstream(site, lock=(path,)).survey(Transport(), first.mark, quiet) is None
    path = locked(tmp_path, newer)
    assert surveyed(upstream(site, lock=(path,)), first.mark).mark != first.mark


def test_a_withdrawn_file_that_a_lock_names_is_marked_as_such(site: Web, tmp_path: Path) -> None:
    file = wheel("alpha", "1.0")
    listed(site, "alpha", file, yanked="it <burns>")
    found = upstream(site, lock=(locked(tmp_path, file),))
    survey = surveyed(found)
    made = found.index(whole(survey), survey)
    assert b'data-yanked="it &lt;burns&gt;"' in made["simple/alpha/index.html"]
    assert json.loads(made["simple/alpha/index.json"])["files"][0]["yanked"] == "it <burns>"


def test_metadata_beside_a_wheel_is_kept_where_there_is_some(site: Web, tmp_path: Path) -> None:
    file = wheel("alpha", "1.0")
    listed(site, "alpha", file, **{"core-metadata": {"sha256": HEX}})
    found = upstream(site, lock=(locked(tmp_path, file),))
    survey = surveyed(found)
    beside = survey.items[1]
    assert (beside.path, beside.digest, beside.may_miss) == (
        f"packages/{file[0]}.metadata",
        Digest("sha256", HEX),
        True,
    )
    with_it, without = (found.index(kept, survey) for kept in (whole(survey), whole(survey)[:1]))
    assert f'data-core-metadata="sha256={HEX}"'.encode() in with_it["simple/alpha/index.html"]
    assert b"metadata" not in without["simple/alpha/index.html"]


def test_a_page_without_hashes_is_good_for_a_lock_with_one(site: Web, tmp_path: Path) -> None:
    file = wheel("alpha", "1.0")
    site.add("/simple/alpha/", f'<a href="/files/{file[0]}">x</a>', "text/html")
    item = surveyed(upstream(site, lock=(locked(tmp_path, file),))).items[0]
    assert item.digest == Digest.of(file[1]) and item.url == f"{site.base}/files/{file[0]}"


def test_an_index_that_wants_a_password_gets_the_one_that_pip_has(
    site: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.login = "me:canary-secret"
    file = wheel("alpha", "1.0")
    listed(site, "alpha", file)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.base.replace('://', '://me:canary-secret@')}/simple/")
    monkeypatch.setenv("NETRC", "/dev/null")
    found = upstream(site, url="", lock=(locked(tmp_path, file),))
    survey = surveyed(found)
    with found.opened(Transport(), survey.items[0]) as source:
        assert source.read() == file[1]
    assert "canary" not in f"{survey}{found.index(whole(survey), survey)}{found._indexes}"


def test_in_mode_local_the_folder_is_the_index(tmp_path: Path) -> None:
    name, data = wheel("alpha", "1.0")
    (tmp_path / name).write_bytes(data)
    (tmp_path / "notes.txt").write_text("no distribution")
    found = PypiUpstream.of(Pypi("own", folder=str(tmp_path), mode=LOCAL))
    survey = surveyed(found)
    assert [(item.path, item.digest) for item in survey.items] == [(f"packages/{name}", Digest.of(data))]
    with found.opened(Transport(), survey.items[0], 5) as source:
        assert source.read() == data[5:]


# Our own pages


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name == "href"]


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
OFFERED = st.builds(
    Offered,
    project=st.just("alpha"),
    version=st.just("1.0"),
    filename=st.sampled_from(["alpha-1.0-py3-none-any.whl", "alpha-1.0.tar.gz", "alpha-1.0+x.1-py3-none-any.whl"]),
    digest=st.just(Digest("sha256", HEX)),
    size=st.integers(0, 1 << 40),
    requires_python=st.sampled_from(["", ">=3.8,<4"]),
    yanked=st.none() | TEXT.map(str.strip),
    metadata=st.none() | st.just(Digest("sha256", HEX)),
)


@given(st.lists(OFFERED, unique_by=lambda file: file.filename, max_size=3))
def test_our_pages_say_what_we_have_and_can_be_read_as_any_index(offered: list[Offered]) -> None:
    made = pages(offered)
    assert made == pages(list(reversed(offered)))
    for name, kind in (("index.html", "text/html"), ("index.json", PAGE)):
        if not offered:
            continue
        found = page("alpha", made[f"simple/alpha/{name}"], kind, "https://x.org/s/simple/alpha/")
        said = {(each.filename, each.digest, each.yanked is None, each.requires_python) for each in found}
        assert said == {(each.filename, each.digest, each.yanked is None, each.requires_python) for each in offered}
        assert all(each.url.startswith("https://x.org/s/packages/") for each in found)


def test_links_of_our_pages_are_relative_and_carry_the_hash() -> None:
    made = pages([Offered("alpha", "1.0", "alpha-1.0+x-py3-none-any.whl", Digest("sha256", HEX), 3)])
    links = _Links()
    links.feed(made["simple/alpha/index.html"].decode())
    assert links.found == [f"../../packages/alpha-1.0%2Bx-py3-none-any.whl#sha256={HEX}"]
    assert urljoin("http://h/s/b/2026/tools/simple/alpha/", links.found[0]).startswith(
        "http://h/s/b/2026/tools/packages/"
    )
    assert b'<a href="alpha/">alpha</a>' in made["simple/index.html"]
    assert json.loads(made["simple/index.json"])["projects"] == [{"name": "alpha"}]


def test_versions_are_in_their_order_and_not_in_that_of_letters() -> None:
    offered = [Offered("a", v, f"a-{v}.tar.gz", Digest("sha256", HEX), 1) for v in ("1.10", "1.9", "1.9rc1")]
    versions = json.loads(pages(offered)["simple/a/index.json"])["versions"]
    assert versions == ["1.9rc1", "1.9", "1.10"] == sorted(versions, key=Version)
