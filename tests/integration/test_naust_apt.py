"""Suites of a Debian archive: mirrored by `naust mirror`, used by apt itself."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from naust.source.openpgp import archive_key
from naust.store import open_store
from tests.conftest import Ended, Tools
from tests.lab.archives import Apt, Archive, Signer, laid_out, later, signer, web
from tests.lab.faults import Fault, FaultProxy, is_
from tests.lab.programs import program

DEBIAN = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@pytest.fixture(scope="module")
def upstreams_key() -> Iterator[Signer]:
    with TemporaryDirectory(prefix="n") as folder, signer(Path(folder) / "g") as found:
        yield found


@dataclass(frozen=True)
class Lab:
    """An upstream behind a proxy that can misbehave, and a store."""

    folder: Path
    upstream: Archive
    proxy: FaultProxy
    tools: Tools

    def mirror(self, *packages: str, code: int | None = 0, suites: str = '"stable"', more: str = "") -> Ended:
        """`naust mirror` of these packages, of all without any."""
        names = ", ".join(f'"{each}"' for each in packages)
        keyring = "" if "keyring" in more else f'keyring = "{self.upstream.signer.keyring}"'
        definition = self.folder / "sources.hcl"
        definition.write_text(
            f'apt "small" {{\n  url = "http://{self.proxy.address}"\n  suites = [{suites}]\n  packages = [{names}]\n'
            f'  key = "file:{self.key}"\n  {keyring}\n  {more}\n}}\n'
        )
        options = ("--sources", str(definition), "--store", str(self.folder / "store"), "--idle", "5s")
        return self.tools("naust", "mirror", *options, "--json", code=code)

    @property
    def key(self) -> Path:
        return self.folder / "archive.key"

    def tree(self) -> Path:
        """The newest state as plain files."""
        folder = self.folder / "tree"
        shutil.rmtree(folder, ignore_errors=True)
        return laid_out(open_store(str(self.folder / "store")), "small", folder)

    def has_state(self) -> bool:
        """Whether any state was published."""
        ended = self.tools("naust", "list", "snapshot", "--store", str(self.folder / "store"), "--json", code=None)
        return ended.code == 0 and bool(ended.json())


@pytest.fixture
def lab(tmp_path: Path, upstreams_key: Signer, tools: Tools) -> Iterator[Lab]:
    archive = Archive(tmp_path / "upstream", upstreams_key)
    archive.add("one", Depends="two (>= 1)")
    archive.add("two")
    archive.add("three")
    archive.publish()
    with web(archive.folder) as host, FaultProxy(host) as proxy:
        yield Lab(tmp_path, archive, proxy, Tools(tools.cwd, {"XDG_CACHE_HOME": str(tmp_path / "cache")}))


def test_apt_updates_and_installs_from_the_tree_with_our_key_alone(lab: Lab) -> None:
    lab.mirror("one")
    tree = lab.tree()
    with web(tree) as host:
        apt = Apt(lab.folder / "apt")
        apt.knows(f"deb [signed-by={tree}/key.asc] http://{host} stable main")
        updated = apt("update")
        assert updated.returncode == 0, updated.stderr
        assert "W:" not in updated.stderr
        installed = apt("install", "one")
        assert installed.returncode == 0, installed.stderr
    assert (apt.root / "installed/usr/share/two/version").read_text() == "1.0\n"
    assert not (tree / "pool/main/t/three").exists()


def test_apt_refuses_the_tree_with_another_key(lab: Lab) -> None:
    lab.mirror("one")
    other = lab.folder / "other.asc"
    other.write_bytes(archive_key(f"file:{lab.folder}/other.key").certificate())
    with web(lab.tree()) as host:
        apt = Apt(lab.folder / "apt")
        apt.knows(f"deb [signed-by={other}] http://{host} stable main")
        ended = apt("update")
    assert ended.returncode != 0
    assert "NO_PUBKEY" in ended.stderr or "not signed" in ended.stderr


def test_a_changed_index_is_refused_by_apt(lab: Lab) -> None:
    lab.mirror("one")
    tree = lab.tree()
    for path in (tree / "dists/stable/main/binary-amd64").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes().replace(b"1.0", b"1.1")[::-1])
    with web(tree) as host:
        apt = Apt(lab.folder / "apt")
        apt.knows(f"deb [signed-by={tree}/key.asc] http://{host} stable main")
        assert apt("update").returncode != 0


def test_nothing_new_asks_for_the_release_alone_and_makes_no_state(lab: Lab) -> None:
    first = lab.mirror("one").json()
    lab.proxy.clear()
    again = lab.mirror("one").json()
    assert [each.target for each in lab.proxy.seen] == ["/dists/stable/InRelease"]
    assert again[0]["reference"] == first[0]["reference"]
    assert not again[0]["changed"]


def test_another_choice_of_packages_is_noticed_although_upstream_is_the_same(lab: Lab) -> None:
    lab.mirror("one")
    assert lab.mirror("one", "three").json()[0]["fetched"] == 1
    assert (lab.tree() / "pool/main/t/three/three_1.0_all.deb").exists()


def test_a_security_update_comes_with_its_origin_and_both_versions_stay(lab: Lab) -> None:
    names = ("stable", "stable-security")
    suites = ", ".join(f'"{each}"' for each in names)
    lab.upstream.publish("stable-security")
    lab.mirror("one", suites=suites)
    lab.upstream.add("two", "1.0+deb1", "stable-security")
    lab.upstream.publish("stable-security", date=later(0.01))
    assert lab.mirror("one", suites=suites).json()[0]["fetched"] == 1
    tree = lab.tree()
    assert (tree / "pool/main/t/two/two_1.0_all.deb").exists()
    with web(tree) as host:
        apt = Apt(lab.folder / "apt")
        apt.knows(*(f"deb [signed-by={tree}/key.asc] http://{host} {each} main" for each in names))
        assert apt("update").returncode == 0
        assert apt("install", "one").returncode == 0
    assert (apt.root / "installed/usr/share/two/version").read_text() == "1.0+deb1\n"


def test_a_package_with_another_hash_is_named_and_no_state_is_made(lab: Lab) -> None:
    deb = lab.upstream.folder / "pool/main/t/two/two_1.0_all.deb"
    right = deb.read_bytes()
    deb.write_bytes(right[:-1] + bytes((right[-1] ^ 1,)))
    ended = lab.mirror("one", code=4)
    assert "pool/main/t/two/two_1.0_all.deb" in ended.err
    assert not lab.has_state()
    deb.write_bytes(right)
    lab.proxy.clear()
    assert lab.mirror("one").json()[0]["fetched"] == 1
    assert not any("one_1.0" in each.target for each in lab.proxy.seen)


def test_a_missing_package_and_a_page_in_its_place_are_named_and_the_rest_comes(lab: Lab) -> None:
    page = {"Content-Type": "text/html"}
    lab.proxy.add(
        Fault(status=404, times=None, when=is_("GET", "two_1.0")),
        Fault(status=200, headers=page, body=b"<html>log in</html>", times=None, when=is_("GET", "three_1.0")),
    )
    ended = lab.mirror(code=4)
    assert "two_1.0_all.deb" in ended.err
    assert "three_1.0_all.deb" in ended.err
    assert ended.json()[0]["fetched"] == 1


def test_a_package_that_may_miss_does_not_hold_up_the_state(lab: Lab) -> None:
    lab.proxy.add(Fault(status=404, times=None, when=is_("GET", "three_1.0")))
    lab.mirror(more='may_miss = ["three"]')
    index = (lab.tree() / "dists/stable/main/binary-amd64/Packages").read_text()
    assert "Package: two" in index
    assert "Package: three" not in index


def test_an_unknown_package_is_told_by_name(lab: Lab) -> None:
    assert "fuor" in lab.mirror("one", "fuor", code=2).err


@pytest.mark.parametrize("what", ["another key", "no signature", "changed text", "a page"])
def test_a_release_that_is_not_rightly_signed_is_refused(lab: Lab, what: str) -> None:
    path = lab.upstream.folder / "dists/stable/InRelease"
    more = ""
    if what == "another key":
        more = f'keyring = "{DEBIAN}"'
    elif what == "no signature":
        lab.upstream.publish(signed=False)
    elif what == "changed text":
        path.write_bytes(path.read_bytes().replace(b"Origin: Test", b"Origin: Tost"))
    else:
        path.write_bytes(b"<html><body>Please log in</body></html>")
    ended = lab.mirror("one", code=8, more=more)
    assert "not signed by a key of" in ended.err
    assert not lab.has_state()


def test_an_expired_release_is_refused(lab: Lab) -> None:
    lab.upstream.publish(date=later(-9), until=later(-2))
    assert "has expired" in lab.mirror("one", code=8).err


def test_the_release_of_another_suite_is_refused(lab: Lab) -> None:
    lab.upstream.publish(named="oldstable")
    assert "oldstable" in lab.mirror("one", code=8).err


def test_an_older_release_is_refused_until_it_is_accepted(lab: Lab) -> None:
    lab.mirror("one")
    lab.upstream.publish(date=later(-3))
    assert "--accept" in lab.mirror("one", code=7).err


def test_one_suite_that_is_held_back_does_not_hide_behind_another_that_moves(lab: Lab) -> None:
    lab.upstream.add("two", "1.1", "stable-security")
    lab.upstream.publish("stable-security")
    both = '"stable", "stable-security"'
    lab.mirror("one", suites=both)
    lab.upstream.publish("stable", date=later(1))
    lab.upstream.publish("stable-security", date=later(-3))
    refused = lab.mirror("one", code=7, suites=both).err
    assert "Stable-security is of" in refused and "--accept" in refused
    lab.upstream.publish("stable-security", date=later(2))
    lab.mirror("one", suites=both)


def test_the_older_pair_of_release_and_signature_will_do(lab: Lab) -> None:
    lab.upstream.publish(pair=True)
    lab.mirror("one")
    assert (lab.tree() / "upstream/stable/Release.gpg").exists()


def test_an_index_that_is_cut_off_is_refused(lab: Lab) -> None:
    for path in (lab.upstream.folder / "dists/stable/main/binary-amd64").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-20])
    ended = lab.mirror("one", code=8)
    assert "does not fit together" in ended.err
    assert not lab.has_state()


def test_an_index_that_breaks_off_on_its_way_is_asked_for_again(lab: Lab) -> None:
    lab.proxy.add(Fault(cut_answer=40, when=is_("GET", "by-hash")))
    lab.mirror("one")
    assert lab.proxy.struck == 1


@pytest.mark.parametrize("by_hash", [True, False])
def test_upstream_that_changes_between_release_and_index_is_read_anew(lab: Lab, by_hash: bool) -> None:
    lab.upstream.publish(by_hash=by_hash)
    old = (lab.upstream.folder / "dists/stable/InRelease").read_bytes()
    shutil.rmtree(lab.upstream.folder / "dists")
    lab.upstream.add("two", "2.0")
    lab.upstream.publish(by_hash=by_hash, date=later(0.01))
    lab.proxy.add(Fault(status=200, body=old, when=is_("GET", "InRelease")))
    assert "upstream changed meanwhile" in lab.mirror("one").err
    assert (lab.tree() / "pool/main/t/two/two_2.0_all.deb").exists()


def test_upstream_that_never_fits_together_is_left_alone(lab: Lab) -> None:
    lab.upstream.publish(by_hash=False)
    folder = lab.upstream.folder / "dists/stable/main/binary-amd64"
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    lab.upstream.add("four")
    lab.upstream.publish(by_hash=False, date=later(0.01))
    for path, data in before.items():
        path.write_bytes(data)
    ended = lab.mirror("one", code=8)
    assert "in the middle of a change" in ended.err


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "pool/../../x", "pool//x"])
def test_a_path_that_climbs_out_is_refused(lab: Lab, name: str) -> None:
    text = "".join(lab.upstream.suites["stable"]).replace("pool/main/t/two/two_1.0_all.deb", name)
    lab.upstream.publish(packages=text.encode())
    lab.mirror("one", code=8)
    assert not lab.has_state()


def test_an_index_that_grows_without_end_is_refused(lab: Lab) -> None:
    bomb = lzma.compress(bytes(20 << 20))
    folder = lab.upstream.folder / "dists/stable"
    release = (folder / "InRelease").read_bytes().split(b"\n\n", 1)[1].split(b"\n-----BEGIN", 1)[0].decode()
    lines = [line for line in release.splitlines() if not line.endswith("Packages.xz")]
    digest = hashlib.sha256(bomb).hexdigest()
    (folder / "main/binary-amd64/by-hash/SHA256" / digest).write_bytes(bomb)
    text = "\n".join([*lines, f" {digest} {len(bomb)} main/binary-amd64/Packages.xz"]) + "\n"
    (folder / "InRelease").write_bytes(lab.upstream.signer.clear_signed(text.encode()))
    assert "does not fit together" in lab.mirror("one", code=8).err


def test_the_same_upstream_gives_the_same_bytes_wherever_it_is_mirrored(lab: Lab) -> None:
    lab.mirror("one")
    one = _files(lab.tree())
    shutil.rmtree(lab.folder / "store")
    lab.mirror("one")
    other = _files(lab.tree())
    assert one == other


def _files(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_our_key_is_made_once_for_its_owner_alone(lab: Lab) -> None:
    lab.mirror("one")
    key = lab.key.read_bytes()
    assert lab.key.stat().st_mode & 0o077 == 0
    lab.upstream.publish(date=later(0.01))
    lab.mirror("one")
    assert lab.key.read_bytes() == key


def test_a_password_in_the_url_of_upstream_is_shown_nowhere(lab: Lab) -> None:
    secret = "Zo2tpassw0rd"
    lab.proxy.add(Fault(status=404, times=None, when=is_("GET", "two_1.0")))
    etc = lab.folder / "etc"
    etc.mkdir()
    (etc / "sources.list").write_text(f"deb http://me:{secret}@{lab.proxy.address} bookworm main\n")
    code = (
        "import sys; from pathlib import Path; from naust.source.apt import AptUpstream\n"
        "from naust.source.definition import Apt; from naust.source import apt_machine, mirror\n"
        "from naust.store import open_store; from naust.wire.transport import Transport\n"
        "apt_machine._codename = lambda: 'bookworm'\n"
        f"block = Apt('small', suites=('stable',), keyring={str(lab.upstream.signer.keyring)!r},"
        f" key='file:{lab.key}')\n"
        f"up = AptUpstream(block, Path({str(etc)!r}))\n"
        f"found = mirror.mirror(open_store({str(lab.folder / 'store')!r}), [(block, lambda: up)], Transport(),"
        " report=print)\n"
        "print(found)\ntry:\n    mirror.check(found)\nexcept Exception as error:\n    print(error, repr(error))\n"
    )
    ended = subprocess.run(
        [str(lab.tools.cwd / ".venv/bin/python"), "-c", code], capture_output=True, text=True, cwd=lab.tools.cwd,
        env=os.environ | lab.tools.env,
    )  # fmt: skip
    assert "two_1.0_all.deb" in ended.stdout, ended.stderr
    assert secret not in ended.stdout + ended.stderr
    assert all("authorization" in each.headers for each in lab.proxy.seen)


def test_a_folder_of_packages_of_our_own_is_a_source_too(lab: Lab) -> None:
    definition = lab.folder / "local.hcl"
    definition.write_text(
        f'apt "small" {{\n  mode = "local"\n  folder = "{lab.upstream.folder / "pool"}"\n  suites = ["ours"]\n'
        f'  key = "file:{lab.key}"\n}}\n'
    )
    options = ("--sources", str(definition), "--store", str(lab.folder / "store"), "--json")
    assert lab.tools("naust", "mirror", *options).json()[0]["fetched"] == 3
    assert not lab.tools("naust", "mirror", *options).json()[0]["changed"]
    tree = lab.tree()
    with web(tree) as host:
        apt = Apt(lab.folder / "apt")
        apt.knows(f"deb [signed-by={tree}/key.asc] http://{host} ours main")
        assert apt("update").returncode == 0
        assert apt("install", "one").returncode == 0
    (lab.upstream.folder / "pool/main/t/two/two_1.0_all.deb").write_bytes(b"no package")
    assert "is no Debian package" in lab.tools("naust", "mirror", *options, code=8).err


@pytest.mark.long
def test_a_debian_is_installed_from_the_tree_with_the_network_cut(tmp_path: Path, tools: Tools) -> None:
    sources = tmp_path / "sources.hcl"
    sources.write_text(
        'apt "debian" {\n  suites = ["trixie", "trixie-updates", "trixie-security"]\n'
        f'  packages = ["priority:required", "apt"]\n  key = "file:{tmp_path}/archive.key"\n}}\n'
    )
    store = str(tmp_path / "store")
    tools("naust", "mirror", "--sources", str(sources), "--store", store, timeout=300)
    tree = laid_out(open_store(store), "debian", tmp_path / "tree")
    suites = ("trixie", "trixie-updates", "trixie-security")
    lines = [f"deb [signed-by={tree}/key.asc] copy://{tree} {suite} main" for suite in suites]
    # The Debian that is made has an apt that checks by sqv, where ours here checks by gpgv.
    inside = (
        "echo 'deb [signed-by=/srv/tree/key.asc] copy:///srv/tree trixie main' > /etc/apt/sources.list; "
        "rm -f /etc/apt/sources.list.d/*; rm -rf /var/lib/apt/lists/*; "
        "apt-get update -o APT::Update::Error-Mode=any; apt-get install -y --reinstall base-files; test -x /usr/bin/sqv"
    )
    with TemporaryDirectory(dir=tmp_path) as work:
        hooks = [f"--customize-hook=copy-in {tree} /srv", f'--customize-hook=chroot "$1" sh -ec "{inside}"']
        argv = [
            program("unshare"),
            "-n",
            program("mmdebstrap"),
            "--variant=apt",
            "--mode=root",
            *hooks,
            "trixie",
            f"{work}/out.tar",
        ]
        ended = subprocess.run(
            [*argv, *lines], capture_output=True, text=True, timeout=600, env=os.environ | {"TMPDIR": work}
        )
        assert ended.returncode == 0, ended.stderr[-3000:]
        assert Path(work, "out.tar").stat().st_size > 100 << 20
