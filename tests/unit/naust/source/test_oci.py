"""Images: what is kept of them, under which digests, and how the layout names them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt, NotFound, Unavailable
from common.model import Digest
from naust import manifest as oci
from naust.manifest import Blob
from naust.source.definition import Oci
from naust.source.interface import Kept, Survey
from naust.source.oci import Image, OciUpstream
from naust.source.state import checked_path
from naust.store.registry import RegistryStore
from naust.wire.transport import Transport
from tests.lab import images
from tests.lab.faults import Fault, FaultProxy, is_
from tests.lab.registries import fresh_prefix, shared

NAME = "container/tool"


def quiet(_: object) -> None:
    """No report."""


@pytest.fixture(params=["ociserver", "docker-registry"])
def store(request: pytest.FixtureRequest) -> RegistryStore:
    return shared(request.param).store(fresh_prefix())


def upstream(store: RegistryStore, *tags: str, **said: object) -> OciUpstream:
    named = tuple(f"{store.url}/{NAME}{'@' if ':' in tag else ':'}{tag}" for tag in tags)
    return OciUpstream.of(Oci("images", named, **said))  # type: ignore[arg-type]


def surveyed(found: OciUpstream, previous: str = "") -> Survey:
    survey = found.survey(Transport(), previous, quiet)
    assert survey is not None
    return survey


def all_kept(survey: Survey) -> list[Kept]:
    return [Kept(item, item.digest, item.size) for item in survey.items if item.digest]


def path(digest: Digest) -> str:
    return f"blobs/sha256/{digest.hex}"


def test_an_image_is_kept_whole_under_its_own_digests(store: RegistryStore) -> None:
    top, first, second, attached = images.two_platforms(store, NAME, "1.0")
    found = upstream(store, "1.0")
    survey = surveyed(found)
    assert set(survey.extra) == {path(each.digest) for each in (top, first, second, *attached)}
    for name, data in survey.extra.items():
        assert path(Digest.of(data)) == name
    for item in survey.items:
        with found.opened(Transport(), item) as source:
            assert item.path == path(Digest.of(source.read())) == checked_path(item.path)
    packages = {(item.package.version, item.package.architecture) for item in survey.items if item.package}
    assert packages == {(f"1.0@{top.digest.short}", platform) for platform in ("linux/amd64", "linux/arm64")}


def test_a_blob_goes_on_where_it_broke(store: RegistryStore) -> None:
    images.image(store, NAME, b"0123456789", tag="1.0")
    found = upstream(store, "1.0")
    item = next(each for each in surveyed(found).items if each.digest == Digest.of(b"0123456789"))
    with found.opened(Transport(), item, 4) as source:
        assert source.read() == b"456789"


def test_the_layout_lists_the_image_by_registry_name_and_tag(store: RegistryStore) -> None:
    top, *_ = images.two_platforms(store, NAME, "1.0")
    found = upstream(store, "1.0", str(top.digest))
    survey = surveyed(found)
    made = found.index(all_kept(survey), survey)
    assert json.loads(made["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    host = store.url.removeprefix("docker://")
    said = {
        each["annotations"]["org.opencontainers.image.ref.name"]: (each["digest"], each["size"], each["mediaType"])
        for each in json.loads(made["index.json"])["manifests"]
        if "artifactType" not in each
    }
    wanted = (str(top.digest), top.size, oci.INDEX)
    assert said == {f"{host}/{NAME}:1.0": wanted, f"{host}/{NAME}@{top.digest}": wanted}


def test_of_named_platforms_only_these_come_and_the_index_stays_as_it_is(store: RegistryStore) -> None:
    top, first, second, attached = images.two_platforms(store, NAME, "1.0")
    survey = surveyed(upstream(store, "1.0", platforms=("linux/amd64",)))
    assert set(survey.extra) == {path(each.digest) for each in (top, first, *attached)}
    other = surveyed(upstream(store, "1.0", platforms=("linux/arm64",)))
    assert set(other.extra) == {path(each.digest) for each in (top, second)}
    with pytest.raises(NotFound, match="is not for windows/amd64"):
        surveyed(upstream(store, "1.0", platforms=("windows/amd64",)))


def test_what_is_attested_of_a_platform_comes_with_it(store: RegistryStore) -> None:
    first = images.image(store, NAME, b"of amd64")
    second = images.image(store, NAME, b"of arm64", platform="linux/arm64")
    about = images.image(store, NAME, b"attested", platform="unknown/unknown")
    entries = [
        first.described() | {"platform": {"os": "linux", "architecture": "amd64"}},
        second.described() | {"platform": {"os": "linux", "architecture": "arm64"}},
        about.described()
        | {"platform": {"os": "unknown", "architecture": "unknown"}}
        | {"annotations": {"vnd.docker.reference.digest": str(first.digest)}},
    ]
    images.put(store, NAME, {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}, "1.0")
    assert path(about.digest) in surveyed(upstream(store, "1.0", platforms=("linux/amd64",))).extra
    assert path(about.digest) not in surveyed(upstream(store, "1.0", platforms=("linux/arm64",))).extra


def test_one_image_that_is_missing_keeps_no_other_and_is_named(store: RegistryStore) -> None:
    images.image(store, NAME, b"layer", tag="1.0")
    found = upstream(store, "1.0", "2.0")
    survey = surveyed(found)
    missing = [item for item in survey.items if item.path.startswith("images/")]
    assert len(missing) == 1 and missing[0].path.endswith(f"{NAME}:2.0") and not survey.mark
    with pytest.raises(NotFound):
        found.opened(Transport(), missing[0])
    made = found.index([each for each in all_kept(survey) if each.item is not missing[0]], survey)
    assert len(json.loads(made["index.json"])["manifests"]) == 1


def test_an_image_that_lacks_a_layer_is_not_listed(store: RegistryStore) -> None:
    images.image(store, NAME, b"layer", tag="1.0")
    found = upstream(store, "1.0", may_miss=(f"*{NAME}:1.0",))
    survey = surveyed(found)
    assert all(item.may_miss for item in survey.items)
    made = found.index(all_kept(survey)[1:], survey)
    assert json.loads(made["index.json"])["manifests"] == []


def test_an_image_that_was_signed_meanwhile_is_seen(store: RegistryStore) -> None:
    top = images.image(store, NAME, b"layer", tag="1.0")
    first = surveyed(upstream(store, "1.0"))
    signature = images.refer(store, NAME, top, b"signature")
    found = upstream(store, "1.0")
    second = surveyed(found, first.mark)
    assert set(second.extra) - set(first.extra) == {path(signature.digest)}
    listed = json.loads(found.index(all_kept(second), second)["index.json"])["manifests"]
    assert [each["artifactType"] for each in listed if "artifactType" in each] == [images.SIGNATURE]


def test_a_tag_that_moved_is_seen_and_one_that_did_not_is_not_read_again(store: RegistryStore) -> None:
    images.image(store, NAME, b"old", tag="latest")
    first = surveyed(upstream(store, "latest"))
    assert upstream(store, "latest").survey(Transport(), first.mark, quiet) is None
    old = store.manifest(NAME, "latest")
    new = images.image(store, NAME, b"new")
    store.put_manifest(NAME, "latest", store.manifest(NAME, str(new.digest)), replacing=Digest.of(old))
    assert surveyed(upstream(store, "latest"), first.mark).mark != first.mark


def test_a_registry_that_lies_about_a_manifest_is_not_believed() -> None:
    store = shared("ociserver").store(fresh_prefix())
    top = images.image(store, NAME, b"layer", tag="1.0")
    with FaultProxy(shared("ociserver").host) as proxy:
        proxy.add(Fault(flip=20, when=is_("GET", "/manifests/"), times=None))
        url = store.url.replace(shared("ociserver").host, proxy.address)
        found = OciUpstream.of(Oci("images", (f"{url}/{NAME}@{top.digest}",)))
        with pytest.raises(Corrupt):
            surveyed(found)


def test_a_registry_that_does_not_answer_is_unavailable() -> None:
    with FaultProxy("127.0.0.1:1") as proxy:
        proxy.add(Fault(status=503, times=None))
        with pytest.raises(Unavailable):
            surveyed(OciUpstream.of(Oci("images", (f"docker://{proxy.address}/x:1",))))


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"schemaVersion": 1, "fsLayers": []}'])
def test_what_is_no_manifest_is_refused(body: bytes) -> None:
    with FaultProxy("127.0.0.1:1") as proxy:
        proxy.add(Fault(status=200, body=body, times=None))
        with pytest.raises(Corrupt):
            surveyed(OciUpstream.of(Oci("images", (f"docker://{proxy.address}/x:1",))))


def test_indexes_within_indexes_end(store: RegistryStore) -> None:
    below: Blob = images.image(store, NAME, b"layer")
    for _ in range(7):
        document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [below.described()]}
        below = images.put(store, NAME, document, "deep" if _ == 6 else "")
    with pytest.raises(Corrupt, match="without end"):
        surveyed(upstream(store, "deep"))


def test_layers_that_may_not_be_passed_on_are_left_out() -> None:
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    store = shared("ociserver").store(fresh_prefix())
    config = images.blob(store, NAME, b"{}", oci.CONFIG)
    elsewhere = Blob(Digest.of(b"elsewhere"), 9, kind)
    document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config.described()}
    data = oci.encode(document | {"layers": [elsewhere.described()]})
    with FaultProxy("127.0.0.1:1") as proxy:
        proxy.add(Fault(status=200, headers={"Content-Type": oci.MANIFEST}, body=data, times=None))
        found = OciUpstream.of(Oci("images", (f"docker://{proxy.address}/x:1",)))
        assert [item.digest for item in surveyed(found).items] == [config.digest]


# Names


def test_an_images_name_is_read() -> None:
    assert str(Image.parse("docker://docker.io/debian:13")) == "docker.io/library/debian:13"
    assert Image.parse(f"docker://h:5000/a/b:1@sha256:{'a' * 64}").reference == f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    "text",
    ["", "debian:13", "docker://debian", "docker://h/a", "docker://h/../a:1", "docker://h/a:../1", "docker://h/a@sha256:1",
     "docker://u:p@h/a:1", "docker://h/A:1", f"docker://h/a@sha256:{'a' * 65}", "docker://h/a:1\n"],
)  # fmt: skip
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Image.parse(text)


@given(st.text(max_size=80))
def test_any_text_names_an_image_or_is_refused(text: str) -> None:
    for each in (text, f"docker://{text}", f"docker://host/{text}:1"):
        try:
            found = Image.parse(each)
        except BadInput:
            continue
        assert ".." not in found.name.split("/") and Image.parse(each) == found


def test_a_trouble_never_passes_for_bytes(store: RegistryStore) -> None:
    images.image(store, NAME, b"", tag="1.0")
    survey = surveyed(upstream(store, "1.0", "gone"))
    missing = next(item for item in survey.items if item.path.startswith("images/"))
    assert missing.digest not in (None, Digest.of(b""))
