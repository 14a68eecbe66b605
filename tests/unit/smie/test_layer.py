"""What layers bring, and what is there when they lie on each other."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import Corrupt
from common.model import Digest
from naust.content import dpkg
from naust.content.dpkg import Installed
from naust.manifest import Blob
from naust.store.memory import MemoryStore
from smie.contents import Contents, contents
from smie.layer import Distribution, Layer, Scan, scan
from smie.workspace import Workspace

NAME = "container/thing"
INFO = "var/lib/dpkg/info"
STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.41-12)
Version: 2.41-12+b1
Provides: libc6-2.41

Package: old
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: tool
Status: install ok installed
Architecture: all
Version: 1:2.0-1
Depends: libc6 (>= 2.38), bash | dash
Pre-Depends: libc6-2.41
"""


def tar(files: Mapping[str, bytes | str], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for path, target in (links or {}).items():
            info = tarfile.TarInfo(path)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return out.getvalue()


class Bench:
    """A store with layers, and a workspace."""

    def __init__(self, folder: Path) -> None:
        self.store, self.workspace = MemoryStore(), Workspace(folder / "smie")

    def layer(self, data: bytes, made_by: str = "role") -> Layer:
        digest, size = self.store.add(NAME, io.BytesIO(data))
        return Layer(NAME, Blob(digest, size), made_by)

    def scan(self, data: bytes) -> Scan:
        return scan(self.store, self.layer(data))

    def contents(self, *layers: bytes) -> Contents:
        return contents(self.store, self.workspace, [self.layer(each) for each in layers])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_packages_are_those_that_dpkg_has_installed(bench: Bench) -> None:
    assert bench.scan(tar({dpkg.PATH: STATUS})).packages == (
        Installed("libc6", "2.41-12+b1", "amd64", "glibc", "2.41-12", "", "libc6-2.41"),
        Installed("tool", "1:2.0-1", "all", "tool", "1:2.0-1", "libc6-2.41, libc6 (>= 2.38), bash | dash"),
    )
    assert bench.scan(tar({"etc/x": ""})).packages is None


def test_bytes_belong_to_the_package_that_lists_the_file_or_what_it_was_compiled_from(bench: Bench) -> None:
    found = bench.scan(
        tar(
            {
                f"{INFO}/tool.list": "/.\n/usr\n/lib/tool.so\n/usr/lib/tool.py\n",
                f"{INFO}/libc6:amd64.list": "/usr/lib/libc.so.6\n",
                "usr/lib/tool.so": b"1" * 100,  # a merged /usr
                "usr/lib/tool.py": b"1" * 10,
                "usr/lib/__pycache__/tool.cpython-313.pyc": b"1" * 5,
                "usr/lib/libc.so.6": b"1" * 1000,
                "usr/local/bin/own": b"1" * 50,
                "srv/larger": b"1" * 60,
            }
        )
    )
    lists = [len("/.\n/usr\n/lib/tool.so\n/usr/lib/tool.py\n"), len("/usr/lib/libc.so.6\n")]
    assert found.sizes == {"libc6": 1000 + lists[1], "tool": 115 + lists[0]}
    assert found.loose == (("srv/larger", 60), ("usr/local/bin/own", 50))
    assert (found.files, found.size, found.loose_size) == (8, 1225 + sum(lists), 110)


def test_python_distributions_are_found_wherever_they_are(bench: Bench) -> None:
    found = bench.scan(
        tar(
            {
                "usr/lib/python3/dist-packages/a-1.dist-info/METADATA": "Name: A\nVersion: 1\nLicense: MIT\n\nName: no",
                "opt/b.egg-info/PKG-INFO": "Name: b\nVersion: 2\n",
                "opt/c-3.egg-info": "Name: c\nVersion: 3\n",
                "opt/d.dist-info/METADATA": "nothing",
            }
        )
    )
    assert found.distributions == (
        Distribution("A", "1", "usr/lib/python3/dist-packages/a-1.dist-info", ("MIT",)),
        Distribution("b", "2", "opt/b.egg-info"),
        Distribution("c", "3", "opt/c-3.egg-info"),
    )


def test_licences_are_the_packages_own_or_those_of_the_one_that_it_points_to(bench: Bench) -> None:
    copyright = "Format: x\n\nFiles: *\nLicense: ISC\n"
    data = tar({dpkg.PATH: STATUS, "usr/share/doc/libc6/copyright": copyright}, {"usr/share/doc/tool": "libc6"})
    assert bench.contents(data).licences == {"libc6": ("ISC",), "tool": ("ISC",)}


def test_an_upper_layer_replaces_and_takes_away(bench: Bench) -> None:
    metadata = "Name: {}\nVersion: 1\n"
    below = {f"opt/{name}.dist-info/METADATA": metadata.format(name) for name in "abc"}
    lower = tar({**below, dpkg.PATH: STATUS, "usr/lib/os-release": 'ID=debian\nVERSION_ID="13"\n'})
    above = {
        "opt/.wh.a.dist-info": "",
        "opt/c.dist-info/METADATA": "Name: c\nVersion: 2\n",
        dpkg.PATH: STATUS.partition("\n\n")[0],
    }
    found = bench.contents(lower, tar(above))
    assert [(each.name, each.version) for each in found.distributions] == [("b", "1"), ("c", "2")]
    assert [each.name for each in found.packages] == ["libc6"]
    assert found.release == {"ID": "debian", "VERSION_ID": "13"}
    assert not bench.contents(lower, tar({"opt/.wh..wh..opq": ""})).distributions
    assert not bench.contents(lower, tar({}, {"opt": "srv"})).distributions


def test_what_was_read_once_is_not_read_again_and_says_the_same(bench: Bench) -> None:
    data = tar({dpkg.PATH: STATUS, "opt/b.egg-info/PKG-INFO": "Name: b\nVersion: 2\nLicense: MIT\n", "a": b"1"})
    first = bench.contents(data)
    bench.store._contents.clear()
    layer = Layer(NAME, Blob(Digest.of(data), len(data)), "role")
    assert contents(bench.store, bench.workspace, [layer]) == first


def test_what_was_kept_and_is_damaged_is_read_anew(bench: Bench) -> None:
    data = tar({dpkg.PATH: STATUS})
    first = bench.contents(data)
    for damage in ("", "[]", '{"format": 1}', '{"format": 0}'):
        bench.workspace.scan(Digest.of(data)).write_text(damage)
        assert bench.contents(data) == first


def test_a_file_here_is_read_instead_of_the_store(bench: Bench, tmp_path: Path) -> None:
    data = tar({dpkg.PATH: STATUS, "./x/y": b"1"})
    (tmp_path / "layer.tar").write_bytes(data)
    layer = Layer(NAME, Blob(Digest.of(data), len(data)), "role", tmp_path / "layer.tar")
    assert scan(bench.store, layer) == bench.scan(data)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from([dpkg.PATH, f"{INFO}/a.list", "x.dist-info/METADATA", "usr/share/doc/a/copyright", "y.egg-info",
                         "usr/lib/os-release"]),
        st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    )
)  # fmt: skip
def test_whatever_is_in_the_files_a_layer_is_read_or_refused(bench: Bench, files: dict[str, bytes]) -> None:
    try:
        found = bench.contents(tar(dict(files)))
    except Corrupt:
        return
    assert all(each.name for each in found.packages) and all(each.name for each in found.distributions)
