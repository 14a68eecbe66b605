"""Every remote store behind a line that breaks, lies, falls silent or is refused: the right result or one clear error,
and never half of anything.

The stores are real ones: docker-registry, a registry with the referrers API, naust serve, versitygw. Waits between
tries are noted and made short.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import Corrupt, Denied, Error, Unavailable
from common.model import Artifact, Digest, Event, Reference, Secret
from naust.listing import artifacts, resolve
from naust.pull import get_file
from naust.push import push_file
from naust.store.access import Access
from naust.store.interface import Store
from naust.store.limiting import limiting
from naust.store.registry import RegistryStore
from naust.store.retrying import retrying
from naust.store.s3_upload import PART
from naust.store.tries import Patience
from naust.wire import patience
from tests.contract.test_store import NAME
from tests.lab.faults import Fault, FaultProxy, Seen, is_, storm
from tests.lab.registries import fresh_prefix as fresh_repository
from tests.lab.registries import shared
from tests.lab.s3servers import fresh_prefix, shared_versitygw
from tests.lab.serving import served

IDLE = timedelta(seconds=0.7)
SIZE = 5 << 20  # bytes; more than is sent at once
MARGIN = 64 << 10  # bytes of manifests and the like
SIZES = {"s3": 256 << 20}  # bytes; sixteen parts
LOST = {"docker-registry"}  # it forgets an upload whose connection broke, so that begins anew


@dataclass
class Line:
    """A store behind a proxy, `far`, and the same store without it, `near`."""

    kind: str
    proxy: FaultProxy
    near: Store
    far: Store
    waits: list[float] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def clear(self) -> None:
        """Forget faults and what happened."""
        self.proxy.clear()
        self.waits.clear()
        self.events.clear()


@contextmanager
def near_and_far(kind: str, address: str, folder: Path, access: Access) -> Iterator[tuple[str, Callable[[str], Store]]]:
    """Where a store is, HOST:PORT, and what opens it under any address."""
    if kind == "https":
        with served(folder / "served") as server:
            store = type(server.store())
            yield server.host, lambda host: store.from_url(f"http://{host}", access)
    elif kind == "s3":
        gateway, prefix = shared_versitygw(), fresh_prefix()
        yield gateway.endpoint.removeprefix("http://"), lambda host: gateway.by(host).store(prefix, idle=access.idle)
    else:
        repository = fresh_repository()
        yield shared(kind).host, lambda host: RegistryStore.from_url(f"docker://{host}/{repository}", access)


@contextmanager
def behind_a_proxy(kind: str, folder: Path, access: Access | None = None, seed: int = 1) -> Iterator[Line]:
    with (
        near_and_far(kind, "", folder, access or Access(idle=IDLE)) as (host, opened),
        FaultProxy(host, seed=seed) as proxy,
        pytest.MonkeyPatch.context() as patch,
    ):
        line = Line(kind, proxy, opened(host), opened(host))

        def sleep(seconds: float) -> None:
            line.waits.append(seconds)
            time.sleep(min(seconds, 0.02))

        patch.setattr(patience, "sleep", sleep)  # with one request

        line.far = limiting(retrying(opened(proxy.address), line.events.append, Patience(sleep=sleep)), 4)
        yield line


@pytest.fixture(params=["docker-registry", "ociserver", "https", "s3"])
def line(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with behind_a_proxy(request.param, tmp_path) as found:
        yield found


def random_bytes(size: int, seed: int = 1) -> bytes:
    source = random.Random(seed)
    return b"".join(source.randbytes(min(size - at, 1 << 24)) for at in range(0, size, 1 << 24))


def stored(line: Line, data: bytes) -> Digest:
    """Put it there on the way that does not break."""
    digest = Digest.of(data)
    line.near.write(NAME, digest, len(data), io.BytesIO(data))
    return digest


def sent(line: Line, path: Path, data: bytes) -> Digest:
    """Write a file through the proxy."""
    path.write_bytes(data)
    digest = Digest.of(data)
    with path.open("rb", buffering=0) as source:
        line.far.write(NAME, digest, len(data), source)
    return digest


def content(store: Store, digest: Digest) -> bytes:
    with store.read(NAME, digest) as source:
        return source.read()


def whole_file(line: Line, folder: Path, data: bytes, tag: str = "1.0") -> Artifact:
    """Push a file on the way that does not break."""
    path = folder / "source.raw"
    path.write_bytes(data)
    return push_file(line.near, path, Reference.parse(f"{NAME}:{tag}"), chunks=False)


def is_upload(seen: Seen) -> bool:
    return seen.method in ("PUT", "PATCH", "POST") and int(seen.headers.get("content-length", "0")) > 1 << 20


def download(data: bytes) -> Callable[[Seen], bool]:
    """Whether a request is for this blob. (S3 has manifests beside them.)"""
    return is_("GET", Digest.of(data).hex)


# Connections that break


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_an_upload_that_is_cut_anywhere_arrives_whole(line: Line, tmp_path: Path, reset: bool) -> None:
    for number, at in enumerate([0, 1, 1000, 1 << 16, (1 << 20) + 1, SIZE // 2, SIZE - 1, SIZE]):
        line.clear()
        data = random_bytes(SIZE, seed=number)
        line.proxy.add(Fault(cut_request=at, reset=reset, when=is_upload))
        digest = sent(line, tmp_path / "file", data)
        assert line.near.stat(NAME, digest) == SIZE and content(line.near, digest) == data
        # On a connection that was kept, what is short is asked again at once.
        assert line.proxy.struck == 1 >= len(line.waits)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_download_that_is_cut_anywhere_arrives_whole_and_no_byte_comes_twice(
    line: Line, tmp_path: Path, reset: bool
) -> None:
    data = random_bytes(SIZE)
    artifact = whole_file(line, tmp_path, data)
    for at in (0, 1, 1000, 1 << 16, (1 << 20) + 1, SIZE // 2, SIZE - 1):
        line.clear()
        line.proxy.add(Fault(cut_answer=at, reset=reset, when=download(data)))
        got = get_file(line.far, artifact, tmp_path / f"got-{at}")
        assert Path(got.place).read_bytes() == data
        assert line.proxy.struck == 1
        # What the kernel had taken and not given out when a reset came, comes again.
        assert line.proxy.down <= SIZE * (1.5 if reset else 1) + MARGIN


def test_three_cuts_at_sixty_per_cent_cost_little(line: Line, tmp_path: Path) -> None:
    data = random_bytes(SIZES.get(line.kind, 8 << 20))
    at_once = PART if line.kind == "s3" else len(data)  # S3 resumes no request: a part begins anew
    line.proxy.add(*(Fault(cut_request=int(0.6 * left), when=is_upload) for left in lengths(at_once, 3)))
    digest = sent(line, tmp_path / "file", data)
    assert content(line.near, digest) == data
    if line.kind in LOST:
        assert line.proxy.up < (1 + 3 * 0.6 + 0.15) * len(data)
    else:
        assert line.proxy.up < 1.15 * len(data)
    line.clear()
    line.proxy.add(*(Fault(cut_answer=int(0.6 * left), when=download(data)) for left in lengths(len(data), 3)))
    artifact = whole_file(line, tmp_path, data)
    assert Path(get_file(line.far, artifact, tmp_path / "got").place).read_bytes() == data
    assert line.proxy.struck == 3 and line.proxy.down < 1.15 * len(data)


def lengths(size: int, count: int) -> Iterator[int]:
    """What is left to carry at each of so many cuts."""
    for _ in range(count):
        yield size
        size -= int(0.6 * size)


def test_a_push_that_never_gets_through_leaves_nothing_that_is_seen(line: Line, tmp_path: Path) -> None:
    path, data = tmp_path / "file.raw", random_bytes(SIZE)
    path.write_bytes(data)
    line.proxy.add(Fault(cut_request=0, times=None, when=is_upload))
    with pytest.raises(Unavailable) as error:
        push_file(line.far, path, Reference.parse(f"{NAME}:1.0"), chunks=False)
    assert "Tried" in error.value.details and error.value.exit_code == 9
    assert not list(line.near.names()) and line.near.stat(NAME, Digest.of(data)) is None
    line.clear()
    artifact = push_file(line.far, path, Reference.parse(f"{NAME}:1.0"), chunks=False)
    assert resolve(line.near, Reference.parse(NAME)).digest == artifact.digest


def test_a_cut_at_any_request_of_a_push_is_mended(line: Line, tmp_path: Path) -> None:
    """Before the server got it, and after it did what was asked but before it could say so."""
    path = tmp_path / "file.raw"
    path.write_bytes(random_bytes(2 << 20))
    push_file(line.far, path, Reference.parse(f"{NAME}:0.0"), chunks=False)
    requests = len(line.proxy.seen)
    for number, fault in itertools.product(range(requests), (Fault(cut_request=0), Fault(lost=True))):
        line.clear()
        path.write_bytes(random_bytes(2 << 20, seed=number + 1000 * fault.lost))
        line.proxy.add(replace(fault, when=nth(number)))
        tag = f"{number}.{'b' if fault.lost else 'a'}"
        artifact = push_file(line.far, path, Reference.parse(f"{NAME}:{tag}"), chunks=False)
        got = get_file(line.near, artifact, tmp_path / f"got-{tag}")
        assert Path(got.place).read_bytes() == path.read_bytes()
        assert [each.digest for each in artifacts(line.near) if each.version == tag] == [artifact.digest]


def nth(number: int) -> Callable[[Seen], bool]:
    """The request of this number, from 0."""
    count = itertools.count()
    return lambda seen: next(count) == number


# Silence


def test_silence_is_noticed_and_mended_both_ways(line: Line, tmp_path: Path) -> None:
    data = random_bytes(SIZE)
    line.proxy.add(Fault(silent_request=SIZE // 2, when=is_upload))
    begun = time.monotonic()
    digest = sent(line, tmp_path / "file", data)
    assert IDLE.total_seconds() < time.monotonic() - begun < 4 + IDLE.total_seconds()
    assert content(line.near, digest) == data
    line.clear()
    artifact = whole_file(line, tmp_path, data)
    line.proxy.add(Fault(silent_answer=SIZE // 2, when=download(data)))
    begun = time.monotonic()
    assert Path(get_file(line.far, artifact, tmp_path / "got").place).read_bytes() == data
    assert IDLE.total_seconds() < time.monotonic() - begun < 3 + IDLE.total_seconds()
    assert line.proxy.down < 1.1 * SIZE


# Servers that ask to wait


@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_that_a_server_asks_for_is_kept(line: Line, tmp_path: Path, status: int) -> None:
    line.proxy.add(Fault(status=status, headers={"Retry-After": "7"}, times=2))
    data = random_bytes(100)
    assert content(line.near, sent(line, tmp_path / "file", data)) == data
    assert sum(line.waits) == pytest.approx(14.0, abs=1.0) and max(line.waits) >= 7.0


def test_a_storm_passes(line: Line, tmp_path: Path) -> None:
    line.proxy.add(*storm(body=b"<Error><Code>SlowDown</Code></Error>"))
    paths = [tmp_path / f"file-{number}.raw" for number in range(12)]
    for number, path in enumerate(paths):
        path.write_bytes(random_bytes(200_000 + number, seed=number))
        artifact = push_file(line.far, path, Reference.parse(f"{NAME}:{number}"), chunks=False)
        got = get_file(line.far, artifact, tmp_path / f"got-{number}")
        assert Path(got.place).read_bytes() == path.read_bytes()
    assert line.proxy.struck >= 10
    assert len(line.proxy.seen) < 3 * (len(line.proxy.seen) - line.proxy.struck)  # it does not make it worse
    assert {each.version for each in artifacts(line.near)} == {str(number) for number in range(12)}


# Servers that are wrong


@pytest.mark.parametrize(
    "fault",
    [
        Fault(headers={"Content-Length": str(SIZE + 10)}),
        Fault(headers={"Content-Length": str(SIZE - 10)}),
        Fault(headers={"Content-Length": "nonsense"}),
        Fault(headers={"Content-Length": None}, cut_answer=SIZE // 2),
        Fault(without=("Range",), cut_answer=0),
        Fault(status=416),
        Fault(status=416, headers={"Content-Range": "bytes */5"}),
        Fault(status=206, headers={"Content-Range": "bytes 100-104/5242880"}, body=b"wrong"),
        Fault(headers={"Content-Encoding": "gzip"}),
        Fault(status=200, body=b"<html>log in to this network</html>"),
        Fault(status=404),
        *(Fault(flip=at) for at in (0, SIZE // 2, SIZE - 1)),
    ],
    ids=lambda fault: repr(
        {key: getattr(fault, key) for key in ("headers", "status", "flip", "without") if getattr(fault, key)}
    )[:60],
)
def test_what_a_server_says_wrongly_is_mended_or_told_and_never_kept(line: Line, tmp_path: Path, fault: Fault) -> None:
    data = random_bytes(SIZE)
    artifact = whole_file(line, tmp_path, data)
    line.proxy.add(replace(fault, when=download(data)))
    target = tmp_path / "got"
    try:
        get_file(line.far, artifact, target)
    except Error as error:
        assert error.message and error.resolution
        assert not target.exists()
        line.clear()
        get_file(line.far, artifact, target)
    assert target.read_bytes() == data


def test_a_server_that_ignores_ranges_gives_what_was_cut_all_the_same(line: Line, tmp_path: Path) -> None:
    data = random_bytes(SIZE)
    artifact = whole_file(line, tmp_path, data)
    line.proxy.add(Fault(cut_answer=SIZE // 2, without=("Range",), when=download(data)))
    line.proxy.add(Fault(without=("Range",), times=None, when=download(data)))
    assert Path(get_file(line.far, artifact, tmp_path / "got").place).read_bytes() == data


def test_a_bit_that_flips_for_good_is_damage_and_no_file(line: Line, tmp_path: Path) -> None:
    data = random_bytes(SIZE)
    artifact = whole_file(line, tmp_path, data)
    line.proxy.add(Fault(flip=12345, times=None, when=download(data)))
    with pytest.raises(Corrupt) as error:
        get_file(line.far, artifact, tmp_path / "got")
    assert not (tmp_path / "got").exists() and error.value.exit_code == 8


def test_a_manifest_that_is_another_one_is_refused(line: Line, tmp_path: Path) -> None:
    artifact = whole_file(line, tmp_path, b"content")
    manifest = line.near.manifest(NAME, str(artifact.digest))
    lie = manifest.replace(b"1.0", b"6.6")
    assert lie != manifest
    line.proxy.add(Fault(status=200, body=lie, times=None, when=lambda seen: seen.method == "GET"))
    with pytest.raises(Error):
        line.far.manifest(NAME, str(artifact.digest))
    with pytest.raises(Error):
        get_file(line.far, artifact, tmp_path / "got")
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("kind", ["docker-registry", "https"])
def test_a_registry_that_lies_about_a_digest_is_not_believed(kind: str, tmp_path: Path) -> None:
    with behind_a_proxy(kind, tmp_path) as line:
        artifact = whole_file(line, tmp_path, b"content")
        lie = {"Docker-Content-Digest": str(Digest.of(b"something else"))}
        line.proxy.add(Fault(headers=lie, times=None, when=is_("GET", "/manifests/")))
        with pytest.raises(Corrupt, match="damaged"):
            line.far.manifest(NAME, artifact.reference.tag)
        assert Digest.of(line.far.manifest(NAME, str(artifact.digest))) == artifact.digest


# Where credentials go


@pytest.mark.parametrize("kind", ["docker-registry", "https"])
def test_blobs_may_lie_elsewhere_but_credentials_do_not_go_there(kind: str, tmp_path: Path) -> None:
    access = Access(idle=IDLE, token=Secret("very-secret-token"))
    with behind_a_proxy(kind, tmp_path, access) as line, FaultProxy(line.proxy.upstream) as elsewhere:
        data = random_bytes(SIZE)
        artifact = whole_file(line, tmp_path, data)
        blob = f"/v2/{registry_name(line)}/blobs/{Digest.of(data)}"
        elsewhere.add(Fault(cut_answer=SIZE // 2, when=download(data)))
        for _ in range(2):  # it goes on there after the cut, too
            there = {"Location": f"http://{elsewhere.address}{blob}?signature=abc"}
            line.proxy.add(Fault(status=307, headers=there, when=download(data)))
        assert Path(get_file(line.far, artifact, tmp_path / "got").place).read_bytes() == data
        assert len(elsewhere.seen) == 2 and elsewhere.down < SIZE + MARGIN
        assert not any("authorization" in each.headers for each in elsewhere.seen)
        assert all("authorization" in each.headers for each in line.proxy.seen)


def registry_name(line: Line) -> str:
    """The repository of NAME."""
    return f"{line.near.url.partition('://')[2].partition('/')[2]}/{NAME}".lstrip("/")


@pytest.mark.parametrize("kind", ["docker-registry", "https"])
def test_a_circle_of_redirects_ends(kind: str, tmp_path: Path) -> None:
    with behind_a_proxy(kind, tmp_path) as line:
        artifact = whole_file(line, tmp_path, b"content")
        there = {"Location": f"http://{line.proxy.address}/v2/round"}
        line.proxy.add(Fault(status=302, headers=there, times=None, when=download(b"content")))
        line.proxy.add(Fault(status=302, headers={"Location": "/v2/and/round"}, times=None, when=is_("GET", "round")))
        with pytest.raises(Error, match="circle"):
            get_file(line.far, artifact, tmp_path / "got")
        assert len(line.proxy.seen) < 40


@pytest.mark.parametrize("kind", ["docker-registry", "https"])
def test_a_token_shows_nowhere_whatever_goes_wrong(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    token = "naust-very-secret-token"
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    with behind_a_proxy(kind, tmp_path, Access(idle=IDLE, token=Secret(token))) as line:
        artifact = whole_file(line, tmp_path, b"content")
        every = [
            Fault(status=status, body=f"what is {token}?".encode()) for status in (400, 401, 403, 404, 409, 418, 503)
        ]
        every += [
            Fault(cut_answer=0),
            Fault(status=302, headers={"Location": f"http://{token}@localhost:1/?t={token}"}),
        ]
        for fault in every:
            line.clear()
            line.proxy.add(replace(fault, times=None))
            try:
                line.far.manifest(NAME, artifact.reference.tag)
            except Error as error:
                told += [str(error), repr(error), repr(error.details), repr(error.__cause__), repr(error.__context__)]
            told += [
                repr(line.events),
                repr(line.far),
                *(each.target for each in line.proxy.seen if each.status != 302),
            ]
            assert all(each.headers["authorization"] == f"Bearer {token}" for each in line.proxy.seen)
    shown = "\n".join([*told, *(str(each.__dict__) for each in caplog.records), *capfd.readouterr()])
    assert len(told) > 20 and token not in shown


def test_who_is_not_let_in_is_told_at_once(line: Line) -> None:
    line.proxy.add(Fault(status=403, times=None))
    with pytest.raises(Denied):
        line.far.manifest(NAME, "1.0")
    assert len(line.proxy.seen) <= 2 and not line.waits


@pytest.mark.parametrize("kind", ["docker-registry", "ociserver"])
@pytest.mark.parametrize("message", ["short", "x" * 100_000], ids=["short", "long"])
def test_a_registry_that_put_together_something_else_is_sent_it_anew(kind: str, message: str, tmp_path: Path) -> None:
    """As one does that counts bytes of a line that broke. Some put all of it into their answer."""
    body = json.dumps({"errors": [{"code": "DIGEST_INVALID", "message": message}]}).encode()
    with behind_a_proxy(kind, tmp_path) as line:
        sending = random_bytes(SIZE)
        ends = Fault(status=400, body=body, when=lambda seen: seen.method == "PUT" and "digest=" in seen.target)
        line.proxy.add(ends)
        assert content(line.near, sent(line, tmp_path / "file", sending)) == sending
        assert ends.used == 1


# More of the same


@pytest.mark.long
@pytest.mark.parametrize("kind", ["docker-registry", "ociserver", "https", "s3"])
def test_cuts_at_five_hundred_offsets_and_twenty_storms(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = random.Random(3)
    with behind_a_proxy(kind, tmp_path) as line:
        data = random_bytes(SIZE)
        artifact = whole_file(line, tmp_path, data)
        for number in range(250):
            line.clear()
            line.proxy.add(Fault(cut_answer=places.randrange(SIZE), reset=bool(number % 2), when=download(data)))
            assert Path(get_file(line.far, artifact, tmp_path / f"got-{number}").place).read_bytes() == data
            (tmp_path / f"got-{number}").unlink()
            line.clear()
            sending = random_bytes(SIZE, seed=number)
            line.proxy.add(Fault(cut_request=places.randrange(SIZE), reset=bool(number % 2), when=is_upload))
            assert content(line.near, sent(line, tmp_path / "file", sending)) == sending
    for seed in range(20):
        with behind_a_proxy(kind, tmp_path / f"storm-{seed}", seed=seed) as line:
            line.proxy.add(*storm())
            for number in range(10):
                path = tmp_path / f"{os.urandom(8).hex()}.raw"
                path.write_bytes(os.urandom(100_000))
                artifact = push_file(line.far, path, Reference.parse(f"{NAME}:{number}"), chunks=False)
                got = Path(get_file(line.far, artifact, path.with_suffix(".got")).place)
                assert got.read_bytes() == path.read_bytes()
