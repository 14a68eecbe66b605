"""Providers: both kinds of hash, the registry's protocol and its signatures, mirrors, and our own mirror's files."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt, NotFound
from common.model import Digest, Secret
from naust.source import terraform_hash
from naust.source.definition import LOCAL, Provider, Terraform
from naust.source.interface import Kept, Survey
from naust.source.terraform import TerraformUpstream
from naust.source.terraform_hash import package_hashes
from naust.source.terraform_registry import Address, Registry, Wanted, check_wanted
from naust.store.access import Access
from naust.wire.transport import Transport
from tests.lab.indexes import Publisher, Web, provider, release, sha256, web, zipped
from tests.lab.serving import certificate

NULL = "hashicorp/null"
Keys = tuple[Publisher, Publisher]


def quiet(_: object) -> None:
    """No report."""


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return certificate(tmp_path / "tls")


@pytest.fixture
def site(pair: tuple[Path, Path]) -> Iterator[Web]:
    with web(pair) as found:
        yield found


@pytest.fixture
def transport(pair: tuple[Path, Path]) -> Transport:
    return Transport(Access(ca=pair[0]))


def tree_hash(files: dict[str, bytes]) -> str:
    """`h1:` as the shell makes it: sha256sum of each, sorted, and the sum of that."""
    lines = "".join(f"{sha256(files[name])}  {name}\n" for name in sorted(files, key=str.encode))
    return f"h1:{b64encode(hashlib.sha256(lines.encode()).digest()).decode()}"


# Hashes


def test_both_hashes_are_those_that_gos_dirhash_makes() -> None:
    files = {"docs/": b"", "docs/é.md": b"1", "b": b"2", "B-x_v1": b"3" * 9999}
    assert package_hashes(io.BytesIO(zipped(files)), "x") == (
        "h1:w8kwe8DGB2YYSCbRr8KM83lbZB3SJcJ/R5ZrKpV2J3s=",  # HashDir of what it unpacks to, golang.org/x/mod v0.24.0
        "h1:wkW24To+2la4DaWLyVv12dKb65TlS/p0LDxRbOxhY9A=",  # HashZip
    )


@given(st.dictionaries(st.from_regex(r"[a-zé_A-Z0-9.-]{1,12}/?[a-z]{1,3}", fullmatch=True), st.binary(max_size=50)))
def test_h1_of_any_zip_is_the_sum_of_its_files(files: dict[str, bytes]) -> None:
    if any(part in (".", "..") for name in files for part in name.split("/")):
        return
    assert package_hashes(io.BytesIO(zipped(files)), "x")[0] == tree_hash(files)


def test_a_zip_with_folders_has_the_hash_of_the_zip_and_that_of_its_files() -> None:
    files = {"docs/": b"", "docs/a": b"1", "b": b"2"}
    found = package_hashes(io.BytesIO(zipped(files)), "x")
    assert found == (tree_hash({"docs/a": b"1", "b": b"2"}), tree_hash(files))


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b", "C:\\x", "a\nb", "./x"])
def test_a_package_with_a_name_that_climbs_out_is_refused(name: str) -> None:
    with pytest.raises(Corrupt, match="no package of a provider"):
        package_hashes(io.BytesIO(zipped({name: b"x"})), "x")


def test_a_package_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terraform_hash, "LARGEST", 1000)
    with pytest.raises(Corrupt, match="1001 bytes"):
        package_hashes(io.BytesIO(zipped({"x": b"\0" * 1001})), "x")
    monkeypatch.setattr(terraform_hash, "MOST", 3)
    with pytest.raises(Corrupt, match="4 files"):
        package_hashes(io.BytesIO(zipped(dict.fromkeys("abcd", b""))), "x")


@pytest.mark.parametrize(("at", "form", "value"), [(10, "<H", 65_000), (12, "<I", 1 << 30)])
def test_a_zip_with_too_long_a_list_is_refused_before_the_list_is_read(at: int, form: str, value: int) -> None:
    data = bytearray(zipped({"x": b"1"}))
    struct.pack_into(form, data, data.rfind(b"PK\x05\x06") + at, value)
    with pytest.raises(Corrupt) as error:
        package_hashes(io.BytesIO(bytes(data)), "x")
    assert "It lists" in error.value.details


@given(st.binary(max_size=400), st.integers(0, 400))
def test_any_bytes_as_package_are_hashed_or_refused(noise: bytes, at: int) -> None:
    data = zipped({"a": b"1" * 100, "b": b"2"})
    for each in (noise, data[:at], data[:at] + noise + data[at + len(noise) :]):
        with suppress(Corrupt):
            assert all(found.startswith("h1:") for found in package_hashes(io.BytesIO(each), "x"))


def test_a_damaged_file_in_a_package_is_noticed() -> None:
    data = bytearray(zipped({"x": bytes(range(256)) * 40}))
    data[60] ^= 1
    with pytest.raises(Corrupt):
        package_hashes(io.BytesIO(bytes(data)), "x")


# Names


def test_a_providers_name_is_read_in_both_forms() -> None:
    assert Address.parse("HashiCorp/null").path == "registry.terraform.io/hashicorp/null"
    assert Address.parse("reg.example.org:8443/a/b").path == "reg.example.org:8443/a/b"
    assert str(Address.parse("hashicorp/null")) == NULL


@pytest.mark.parametrize("text", ["null", "a/b/c/d", "../a/b", "a/..", "a b/c", "host/../b", "-/a", "h/a/b\n", "é/b"])
def test_what_names_no_provider_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Address.parse(text)


@pytest.mark.parametrize(
    ("version", "platform"), [("1", "linux_amd64"), ("1.2.3/..", "linux_amd64"), ("1.2.3", "linux")]
)
def test_what_is_no_version_or_platform_is_refused(version: str, platform: str) -> None:
    with pytest.raises(BadInput):
        check_wanted(version, platform)


# The registry's protocol


@pytest.fixture(scope="module")
def publishers() -> Iterator[tuple[Publisher, Publisher]]:
    """The one that is known, and a stranger."""
    with TemporaryDirectory(prefix="n") as folder:
        found = Publisher.new(Path(folder) / "g"), Publisher.new(Path(folder) / "h")
        yield found
        for each in found:
            each.stop()


def publish(site: Web, publishers: Keys, version: str, data: bytes, *, strange: bool = False) -> str:
    """A release of hashicorp/null in this registry; the provider's name."""
    return release(site, "null", version, {"linux_amd64": data}, publishers[strange], publishers[0].key)


def block(name: str, *versions: str, **said: object) -> Terraform:
    platforms = said.pop("platforms", ("linux_amd64",))
    return Terraform("providers", providers=(Provider(name, versions, platforms),), **said)  # type: ignore[arg-type]


def surveyed(upstream: TerraformUpstream, transport: Transport, previous: str = "") -> Survey:
    survey = upstream.survey(transport, previous, quiet)
    assert survey is not None
    return survey


def kept(survey: Survey, *data: bytes) -> list[Kept]:
    return [Kept(item, Digest.of(each), len(each)) for item, each in zip(survey.items, data, strict=True)]


def test_a_registry_is_asked_as_terraform_asks_it_and_its_proofs_are_kept(
    site: Web, publishers: Keys, transport: Transport
) -> None:
    data = provider("null", "3.2.4")
    name = publish(site, publishers, "3.2.4", data)
    found = TerraformUpstream.of(block(name, "3.2.4"))
    survey = surveyed(found, transport)
    path = f"{name}/terraform-provider-null_3.2.4"
    assert [(item.path, item.digest) for item in survey.items] == [(f"{path}_linux_amd64.zip", Digest.of(data))]
    assert sorted(survey.extra) == [f"{path}_SHA256SUMS", f"{path}_SHA256SUMS.sig", f"{path}_key.asc"]
    assert found.survey(transport, survey.mark, quiet) is None
    made = found.index(kept(survey, data), survey)
    assert json.loads(made[f"{name}/index.json"]) == {"versions": {"3.2.4": {}}}
    archive = json.loads(made[f"{name}/3.2.4.json"])["archives"]["linux_amd64"]
    assert archive["url"] == "terraform-provider-null_3.2.4_linux_amd64.zip"
    assert archive["hashes"] == [*package_hashes(io.BytesIO(data), "x"), f"zh:{sha256(data)}"]


def test_checksums_that_a_stranger_signed_are_refused(site: Web, publishers: Keys, transport: Transport) -> None:
    name = publish(site, publishers, "3.2.4", provider("null", "3.2.4"), strange=True)
    with pytest.raises(Corrupt, match="is not signed by"):
        surveyed(TerraformUpstream.of(block(name, "3.2.4")), transport)


def test_a_package_that_the_signed_checksums_do_not_name_is_refused(
    site: Web, publishers: Keys, transport: Transport
) -> None:
    name = publish(site, publishers, "3.2.4", provider("null", "3.2.4"))
    path = "/v1/providers/hashicorp/null/3.2.4/download/linux/amd64"
    site.add(path, json.loads(site.answers[path][1]) | {"shasum": "1" * 64})
    with pytest.raises(Corrupt, match="checksums do not name"):
        surveyed(TerraformUpstream.of(block(name, "3.2.4")), transport)


def test_a_version_that_is_missing_keeps_no_other_and_is_named(
    site: Web, publishers: Keys, transport: Transport
) -> None:
    name = publish(site, publishers, "3.2.4", provider("null", "3.2.4"))
    found = TerraformUpstream.of(block(name, "3.2.4", "9.9.9"))
    survey = surveyed(found, transport)
    assert len(survey.items) == 2 and not survey.mark
    with pytest.raises(NotFound), found.opened(transport, survey.items[1]):
        pass


@pytest.mark.parametrize(
    "answer",
    [
        "<html>",
        "[]",
        "{}",
        '{"download_url": "file:///etc/passwd", "shasum": ""}',
        '{"download_url": "x", "shasum": 1}',
    ],
)
def test_an_answer_that_is_none_of_a_registry_is_refused(
    site: Web, publishers: Keys, transport: Transport, answer: str
) -> None:
    name = publish(site, publishers, "3.2.4", b"")
    site.add("/v1/providers/hashicorp/null/3.2.4/download/linux/amd64", answer)
    with pytest.raises(Corrupt):
        surveyed(TerraformUpstream.of(block(name, "3.2.4")), transport)


def test_a_registry_gets_its_token_and_the_place_of_the_files_does_not(
    site: Web, publishers: Keys, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, Secret | None]] = []
    real = Transport.request

    def request(self: Transport, method: str, url: str, **more: object) -> object:
        seen.append((url, more.get("credential")))  # type: ignore[arg-type]
        return real(self, method, url, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Transport, "request", request)
    monkeypatch.setenv("TF_TOKEN_127_0_0_1", "canary")
    name = publish(site, publishers, "3.2.4", provider("null", "3.2.4"))
    Registry(transport).find(Wanted(Address.parse(name), "3.2.4", "linux_amd64"))
    told = {url for url, credential in seen if credential is not None and credential.value == "Bearer canary"}
    assert told and all("/files/" not in url for url in told)


# Mirrors


def mirrored(site: Web, *versions: str, hashes: bool = True) -> str:
    for version in versions:
        data = provider("null", version)
        site.add(f"/m/registry.terraform.io/{NULL}/null.zip{version}", data)
        said = [f"zh:{sha256(data)}"] if hashes else list(package_hashes(io.BytesIO(data), "x"))
        archives = {"linux_amd64": {"url": f"null.zip{version}", "hashes": said}}
        site.add(f"/m/registry.terraform.io/{NULL}/{version}.json", {"archives": archives})
    return f"{site.base}/m/"


def test_a_network_mirror_may_be_the_upstream(site: Web, transport: Transport) -> None:
    url = mirrored(site, "1.0.0")
    found = TerraformUpstream.of(block(NULL, "1.0.0", url=url))
    item = surveyed(found, transport).items[0]
    data = provider("null", "1.0.0")
    assert (item.digest, item.url) == (Digest.of(data), f"{url}registry.terraform.io/{NULL}/null.zip1.0.0")
    with found.opened(transport, item, 4) as source:
        assert source.read() == data[4:]


def test_a_platform_that_a_mirror_does_not_have_is_named(site: Web, transport: Transport) -> None:
    url = mirrored(site, "1.0.0")
    with pytest.raises(NotFound, match="nothing for darwin_arm64"):
        surveyed(TerraformUpstream.of(block(NULL, "1.0.0", url=url, platforms=("darwin_arm64",))), transport)


def test_where_a_mirror_knows_only_h1_the_package_is_checked_by_that(site: Web, transport: Transport) -> None:
    url = mirrored(site, "1.0.0", hashes=False)
    found = TerraformUpstream.of(block(NULL, "1.0.0", url=url))
    survey = surveyed(found, transport)
    assert survey.items[0].digest is None
    assert found.index(kept(survey, provider("null", "1.0.0")), survey)
    other = provider("null", "6.6.6")
    found.reads(lambda one: nullcontext(io.BytesIO(other)))
    with pytest.raises(Corrupt, match="Upstream says h1:"):
        found.index(kept(survey, other), survey)


def test_a_second_version_joins_the_first_in_the_index(site: Web, transport: Transport) -> None:
    url = mirrored(site, "1.0.0", "2.0.0")
    path = f"registry.terraform.io/{NULL}"
    first = TerraformUpstream.of(block(NULL, "1.0.0", url=url))
    survey = surveyed(first, transport)
    one = first.index(kept(survey, provider("null", "1.0.0")), survey)
    both = TerraformUpstream.of(block(NULL, "2.0.0", "1.0.0", url=url))
    survey = surveyed(both, transport)
    two = both.index(kept(survey, provider("null", "1.0.0"), provider("null", "2.0.0")), survey)
    assert json.loads(two[f"{path}/index.json"]) == {"versions": {"1.0.0": {}, "2.0.0": {}}}
    assert two[f"{path}/1.0.0.json"] == one[f"{path}/1.0.0.json"]


def test_a_package_that_rotted_in_the_store_is_not_indexed(site: Web, transport: Transport) -> None:
    url = mirrored(site, "1.0.0")
    found = TerraformUpstream.of(block(NULL, "1.0.0", url=url))
    survey = surveyed(found, transport)
    data = provider("null", "1.0.0")
    found.reads(lambda one: nullcontext(io.BytesIO(data[:-1] + b"!")))
    with pytest.raises(Corrupt, match="not what it was"):
        found.index(kept(survey, data), survey)


# What we publish ourselves


def test_in_mode_local_packed_files_of_a_folder_make_the_mirror(tmp_path: Path) -> None:
    data = provider("null", "1.0.0")
    place = tmp_path / "reg.example.org" / "us" / "null"
    place.mkdir(parents=True)
    (place / "terraform-provider-null_1.0.0_linux_amd64.zip").write_bytes(data)
    (place / "terraform-provider-other_1.0.0_linux_amd64.zip").write_bytes(data)
    (place / "index.json").write_text("{}")
    found = TerraformUpstream.of(Terraform("own", folder=str(tmp_path), mode=LOCAL))
    survey = surveyed(found, Transport())
    assert [item.path for item in survey.items] == [
        "reg.example.org/us/null/terraform-provider-null_1.0.0_linux_amd64.zip"
    ]
    made = found.index(kept(survey, data), survey)
    assert f"zh:{sha256(data)}" in made["reg.example.org/us/null/1.0.0.json"].decode()


def test_a_folder_without_packages_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no packages of providers"):
        surveyed(TerraformUpstream.of(Terraform("own", folder=str(tmp_path), mode=LOCAL)), Transport())
    with pytest.raises(BadInput, match="there is no folder"):
        surveyed(TerraformUpstream.of(Terraform("own", folder=str(tmp_path / "x"), mode=LOCAL)), Transport())


def test_a_zip_of_zip64_or_with_a_comment_is_read(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        with archive.open(zipfile.ZipInfo("x"), "w", force_zip64=True) as file:
            file.write(b"1")
        archive.comment = b"hello PK"
    assert package_hashes(made, "x") == (tree_hash({"x": b"1"}),)
