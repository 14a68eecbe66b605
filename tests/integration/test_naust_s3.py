"""naust against real S3 servers: two makes, bad networks, dying clients, collectors and pushers at once."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path

import botocore.auth
import pytest

from common.errors import BadInput, Conflict, Corrupt, Denied, Error, NotFound, Unavailable
from common.files import file_digest
from common.model import Digest, Secret
from naust.store.s3 import S3Store
from naust.store.s3_answers import Seen
from naust.store.s3_blobs import CONDEMNED, FOLDER
from naust.store.s3_bucket import Bucket
from naust.store.s3_multipart import Multipart
from naust.wire import patience
from tests.conftest import ROOT, Running
from tests.contract.test_store import DATED, NAME, put
from tests.lab.faults import Fault, FaultProxy, is_, storm
from tests.lab.faults import Seen as Request
from tests.lab.s3servers import Server, fresh_prefix, radosgw, shared_versitygw

LARGE = 34 << 20  # bytes: three parts
IGNORED = ("If-Match", "If-None-Match")


@pytest.fixture(params=["versitygw", "radosgw"])
def server(request: pytest.FixtureRequest) -> Server:
    return shared_versitygw() if request.param == "versitygw" else radosgw(request.getfixturevalue("running"))


@pytest.fixture
def calm() -> Server:
    return shared_versitygw()


@pytest.fixture
def store(server: Server) -> S3Store:
    return server.store(fresh_prefix())


@pytest.fixture
def proxy(calm: Server) -> Iterator[FaultProxy]:
    with FaultProxy(calm.endpoint.removeprefix("http://")) as opened:
        yield opened


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(LARGE))
    return path


class Stream(io.RawIOBase):
    """What is no file, and stops or fails where it is told."""

    def __init__(self, data: bytes, at: int = sys.maxsize, then: Callable[[], None] = lambda: None) -> None:
        self._data, self._at, self._then = io.BytesIO(data), at, then

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._data.tell() >= self._at:
            self._then()
        return self._data.readinto(buffer)


def bucket_of(store: S3Store) -> Bucket:
    return store._bucket


def uploads(store: S3Store) -> list[str]:
    return [upload.key for upload, _ in Multipart(bucket_of(store)).uploads()]


def keys(store: S3Store, prefix: str = "") -> list[str]:
    return [seen.key for seen in bucket_of(store).listed(prefix)]


def whole(store: S3Store, digest: Digest) -> bytes:
    with store.read(NAME, digest) as source:
        return source.read()


def listed(store: S3Store) -> set[str]:
    return {str(artifact.reference) for _, artifact in store.artifacts() if not isinstance(artifact, Corrupt)}


def there(store: S3Store) -> set[str]:
    return {f"{name}:{tag}" for name in store.names() for tag in store.tags(name)}


def in_child(act: Callable[[], None]) -> int:
    """Run it in a process of its own; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# Servers that are not AWS (case NA-06)


def test_files_and_streams_go_up_in_parts_and_come_down_whole(store: S3Store, large: Path) -> None:
    data, digest = large.read_bytes(), file_digest(large)
    with large.open("rb", buffering=0) as source:
        store.write(NAME, digest, LARGE, source)
    assert whole(store, digest) == data
    with store.read(NAME, digest, 20 << 20, 1000) as part:
        assert part.read() == data[20 << 20 : (20 << 20) + 1000]
    store.delete(digest)
    assert store.add(NAME, Stream(data)) == (digest, LARGE)
    assert whole(store, digest) == data
    store.delete(digest)
    store.write(NAME, digest, LARGE, Stream(data))
    assert whole(store, digest) == data
    assert not uploads(store) and not keys(store, ".incoming/")


def test_what_is_too_large_for_one_copy_is_copied_in_parts(
    store: S3Store, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5 GiB is what a server copies at once; here it is 16 MiB."""
    monkeypatch.setattr("naust.store.s3_multipart.LARGEST_COPY", 16 << 20)
    monkeypatch.setattr("naust.store.s3_multipart.COPIED_PART", 16 << 20)
    digest, _ = store.add(NAME, Stream(large.read_bytes()))
    assert whole(store, digest) == large.read_bytes()
    time.sleep(2.1)
    with large.open("rb") as source:
        store.write(NAME, digest, LARGE, source)
        assert source.tell() == 0
    assert not store.delete(digest, older_than=timedelta(seconds=1))
    assert whole(store, digest) == large.read_bytes() and not uploads(store)


def test_all_works_without_variables_of_aws_and_without_a_region(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a person has it: a store with a name, through the command line."""
    settings = tmp_path / "naust.hcl"
    url = f"s3://naust-test/{fresh_prefix()}"
    settings.write_text(
        f'store "there" {{\n  url = "{url}"\n  endpoint = "{server.endpoint}"\n'
        f'  access_key = "{server.access.access_key}"\n  secret_key = "env:LAB_KEY"\n}}\n'
    )
    (tmp_path / "thing+1.txt").write_text("content")
    assert server.access.secret_key
    env = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    env |= {"NAUST_CONFIG": str(settings), "LAB_KEY": server.access.secret_key.value, "HOME": str(tmp_path)}

    def naust(*argv: str) -> str:
        command = [str(ROOT / ".venv" / "bin" / "naust"), *argv, "--store", "there"]
        ended = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        assert server.access.secret_key and server.access.secret_key.value not in ended.stdout + ended.stderr
        return ended.stdout

    assert url in naust("push", "thing+1.txt", "file/thing:1.0")
    assert "file/thing:1.0-" in naust("list")
    naust("pull", "file/thing:1.0", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "content"


def test_the_bucket_can_be_part_of_the_hosts_name(
    running: Running, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = radosgw(running)
    address, _, port = gateway.endpoint.removeprefix("http://").partition(":")
    import socket

    resolve = socket.getaddrinfo

    def resolved(host: str, *more: object, **rest: object) -> object:
        return resolve(address if host == "naust-test.s3.example.test" else host, *more, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    store = gateway.by(f"s3.example.test:{port}").store(fresh_prefix(), virtual_host=True)
    with large.open("rb", buffering=0) as source:
        digest, size = store.add(NAME, source)
    assert whole(store, digest) == large.read_bytes() and size == LARGE
    put(store, b"x", DATED)
    assert listed(store) == {f"{NAME}:{DATED}"}


def test_a_private_authority_is_trusted_where_it_is_named_and_only_there(
    calm: Server, tmp_path: Path, large: Path
) -> None:
    certificate, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run([*made, *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with FaultProxy(calm.endpoint.removeprefix("http://"), certificate=certificate, key=key) as proxy:
        endpoint = f"https://{proxy.address}"
        store = calm.store(fresh_prefix(), endpoint=endpoint, ca=certificate)
        with large.open("rb", buffering=0) as source:
            digest, _ = store.add(NAME, source)
        assert whole(store, digest) == large.read_bytes()
        for act in (lambda s: s.stat(NAME, digest), lambda s: Multipart(bucket_of(s)).begin("x")):
            with pytest.raises(Error) as error:
                act(calm.store(fresh_prefix(), endpoint=endpoint))
            assert "certificate" in str(error.value) and not isinstance(error.value, Unavailable)


def test_a_bucket_that_is_not_there_and_keys_that_are_wrong_are_said_plainly(server: Server) -> None:
    nowhere = S3Store(Bucket("no-such-bucket", "", server.access), "s3://no-such-bucket")
    with pytest.raises(BadInput, match="no bucket no-such-bucket"):
        nowhere.add(NAME, io.BytesIO(b"x"))
    secret = "wrong/secret+value"
    for more in ({"secret_key": Secret(secret)}, {"access_key": "nobody", "secret_key": Secret(secret)}):
        store = server.store(fresh_prefix(), **more)
        for act in (lambda s: s.add(NAME, io.BytesIO(b"x")), lambda s: Multipart(bucket_of(s)).begin("x")):
            with pytest.raises(Denied) as error:
                act(store)
            assert secret not in str(error.value) and "Signature=" not in str(error.value)


# Bytes


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_a_large_blob_that_is_something_else_leaves_nothing(store: S3Store, large: Path, kind: str) -> None:
    wanted = Digest.of(b"other")
    for size in (LARGE, LARGE - 1, LARGE + 1):
        with large.open("rb", buffering=0) as file, pytest.raises(Corrupt):
            store.write(NAME, wanted, size, file if kind == "file" else Stream(large.read_bytes()))
    assert store.stat(NAME, wanted) is None
    assert not uploads(store) and not keys(store, "blobs/")


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError("disk on fire")])
def test_who_stops_in_the_middle_leaves_nothing(store: S3Store, large: Path, failure: BaseException) -> None:
    def fail() -> None:
        raise failure

    with pytest.raises((KeyboardInterrupt, Unavailable)):
        store.add(NAME, Stream(large.read_bytes(), 32 << 20, fail))
    assert not uploads(store) and not keys(store, ".incoming/") and not keys(store, "blobs/")


def test_what_a_killed_writer_left_is_not_seen_and_can_be_swept(store: S3Store, large: Path) -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    data, digest = large.read_bytes(), file_digest(large)
    assert in_child(lambda: store.write(NAME, digest, LARGE, Stream(data, 32 << 20, die))) == -signal.SIGKILL
    assert store.stat(NAME, digest) is None and not list(store.blobs())
    assert len(uploads(store)) == 1
    assert store.stale_uploads(timedelta(hours=1)) == 0 and len(uploads(store)) == 1
    assert store.stale_uploads(timedelta(0)) == 1 and not uploads(store)


def test_bytes_that_change_on_their_way_up_are_refused_by_the_server_and_sent_again(calm: Server, large: Path) -> None:
    class Flipping(FaultProxy):
        left = 3

        def _feed(self, upstream: object, piece: bytes, chunked: bool, seen: Request) -> None:
            if self.left and seen.method == "PUT" and "partNumber" in seen.target and seen.up > 100_000:
                self.left -= 1
                piece = bytes([piece[0] ^ 1]) + piece[1:]
            super()._feed(upstream, piece, chunked, seen)  # type: ignore[arg-type]

    with Flipping(calm.endpoint.removeprefix("http://")) as proxy, large.open("rb", buffering=0) as source:
        store = calm.by(proxy.address).store(fresh_prefix())
        digest, _ = store.add(NAME, source)
        assert proxy.left == 0
        assert whole(store, digest) == large.read_bytes()


@pytest.mark.parametrize("how", ["file", "stream"])
@pytest.mark.parametrize("size", [160 << 20, pytest.param(4 << 30, marks=pytest.mark.long)])
def test_memory_stays_below_150_mib(calm: Server, tmp_path: Path, how: str, size: int) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(size)
    script = (
        "import io, os, re, sys\n"
        "from common.files import file_digest\nfrom common.model import Secret\nfrom pathlib import Path\n"
        "from naust.manifest import Blob\nfrom naust.store.access import Access\n"
        "from naust.store.s3 import S3Store\nfrom naust.transfer.verified import fetch\n"
        "endpoint, key, url, path, how = sys.argv[1:]\n"
        "access = Access(endpoint=endpoint, access_key=key, secret_key=Secret(os.environ['LAB_KEY']))\n"
        "store, digest = S3Store.from_url(url, access), file_digest(Path(path))\n"
        "source = open(path, 'rb', buffering=0) if how == 'file' else os.popen(f'cat {path}').buffer\n"
        "assert store.add('file/x', source)[0] == digest\n"
        "blob = Blob(digest, Path(path).stat().st_size)\n"
        "with open(path + '.back', 'w+b') as back:\n    fetch(store, 'file/x', blob, back.fileno(), 'x')\n"
        "store.delete(digest)\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) >> 10)\n"
    )
    assert calm.access.secret_key
    url = f"s3://naust-test/{fresh_prefix()}"
    argv = [sys.executable, "-c", script, calm.endpoint, calm.access.access_key, url, str(path), how]
    ended = subprocess.run(
        argv,
        env=os.environ | {"LAB_KEY": calm.access.secret_key.value},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    print(f"{size >> 20} MiB as a {how}: {ended.stdout.strip()} MiB")
    assert int(ended.stdout) < 150


# Storms and servers that do not keep to the protocol


def test_a_storm_of_slow_down_costs_at_most_as_much_again_and_never_more_at_once(
    calm: Server, proxy: FaultProxy, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(patience, "sleep", waits.append)
    store = calm.by(proxy.address).store(fresh_prefix())
    most = 0

    def count(_: Request) -> bool:
        nonlocal most
        most = max(most, sum(each.status == 0 and each.fault is None for each in list(proxy.seen)))
        return False

    def work(store: S3Store) -> int:
        proxy.seen.clear()
        with large.open("rb", buffering=0) as source:
            digest, _ = store.add(NAME, source)
        for number in range(6):
            put(store, str(number).encode(), f"{number}")
        assert len(listed(store)) == 6
        store.stale_uploads(timedelta(0))
        assert store.stat(NAME, digest) == LARGE
        return len(proxy.seen)

    quiet = work(store)
    slow_down = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    proxy.add(Fault(when=count, times=None), *storm(body=slow_down))
    stormy = work(calm.by(proxy.address).store(fresh_prefix()))
    print(f"{quiet} requests calm, {stormy} in the storm, {proxy.struck} struck, at most {most} at once")
    assert proxy.struck > quiet / 10
    assert stormy < 2 * quiet
    assert most <= 4 * store.traits().streams + 1
    assert max(waits) > 0.1 >= min(waits)  # the longest first wait is 0.1 s: later ones are longer


def test_a_wait_that_the_server_asks_for_is_kept(calm: Server, proxy: FaultProxy) -> None:
    store = calm.by(proxy.address).store(fresh_prefix())
    digest, _ = store.add(NAME, io.BytesIO(b"x"))
    proxy.add(Fault(status=503, headers={"Retry-After": "1"}))
    begun = time.monotonic()
    assert store.stat(NAME, digest) == 1
    assert time.monotonic() - begun > 1


def test_a_server_that_ignores_conditions_is_found_out(
    calm: Server, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets them, as any server that does not know them; only that ours checks what is signed."""
    unsigned = [*botocore.auth.SIGNED_HEADERS_BLACKLIST, *(name.lower() for name in IGNORED)]
    monkeypatch.setattr(botocore.auth, "SIGNED_HEADERS_BLACKLIST", unsigned)
    proxy.add(Fault(without=IGNORED, times=None))
    prefix = fresh_prefix()
    store = calm.by(proxy.address).store(prefix)
    first, second = put(store, b"first", DATED), put(store, b"second")
    assert not store.traits().compare_and_swap
    with pytest.raises(Conflict):
        store.put_manifest(NAME, DATED, second)
    assert store.manifest(NAME, DATED) == first
    store.put_manifest(NAME, "channel", first)
    store.put_manifest(NAME, "channel", second, replacing=Digest.of(first))
    assert listed(store) == {f"{NAME}:{DATED}", f"{NAME}:channel"} and not keys(store, ".index/")
    store.delete_tag(NAME, "channel", expected=Digest.of(second))
    assert listed(store) == {f"{NAME}:{DATED}"}
    # Of two at once the later one stays, and whoever reads back the other's is told.
    outcomes = at_once(lambda manifest: store.put_manifest(NAME, "race", manifest), [first, second])
    assert store.manifest(NAME, "race") in (first, second) and None in outcomes


def test_a_server_behind_another_address_is_tried_anew(
    calm: Server, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsigned = [*botocore.auth.SIGNED_HEADERS_BLACKLIST, *(name.lower() for name in IGNORED)]
    monkeypatch.setattr(botocore.auth, "SIGNED_HEADERS_BLACKLIST", unsigned)
    prefix = fresh_prefix()
    assert calm.store(prefix).traits().compare_and_swap
    proxy.add(Fault(without=IGNORED, times=None))
    through = calm.by(proxy.address).store(prefix)
    assert not through.traits().compare_and_swap
    put(through, b"x", DATED)
    assert listed(calm.store(prefix)) == {f"{NAME}:{DATED}"}


def test_an_answer_that_is_lost_after_the_server_did_it_is_no_conflict(calm: Server) -> None:
    class Losing(FaultProxy):
        lost = 0

        def _pass_back(self, client: object, seen: Request, fault: Fault, upstream: HTTPConnection) -> bool:
            if seen.method == "PUT" and seen.target.endswith(f"/{NAME}/{DATED}") and not self.lost:
                self.lost += 1
                upstream.getresponse().read()
                return False
            return super()._pass_back(client, seen, fault, upstream)  # type: ignore[arg-type]

    with Losing(calm.endpoint.removeprefix("http://")) as proxy:
        store = calm.by(proxy.address).store(fresh_prefix())
        manifest = put(store, b"x")
        store.put_manifest(NAME, DATED, manifest)
        assert store.manifest(NAME, DATED) == manifest and proxy.lost == 1


def test_a_silent_server_is_noticed_within_the_idle_limit(calm: Server, proxy: FaultProxy) -> None:
    store = calm.by(proxy.address).store(fresh_prefix(), idle=timedelta(seconds=0.5))
    digest, _ = store.add(NAME, io.BytesIO(b"x" * 100_000))
    proxy.add(
        Fault(silent_answer=1000, when=is_("GET", "/blobs/")), Fault(silent_answer=0, when=is_("HEAD", "/blobs/"))
    )
    begun = time.monotonic()
    with pytest.raises(Unavailable), store.read(NAME, digest) as source:
        while source.read(1 << 20):
            pass
    assert store.stat(NAME, digest) == 100_000
    assert time.monotonic() - begun < 5


# Many at once


def at_once(act: Callable[[bytes], object], arguments: list[bytes]) -> list[Error | None]:
    """Do it with each argument in a thread of its own, all at once; what each raised."""
    start, outcomes = threading.Barrier(len(arguments)), list[Error | None]([None] * len(arguments))

    def run(number: int) -> None:
        start.wait()
        try:
            act(arguments[number])
        except Error as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(arguments))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_of_many_who_move_a_channel_exactly_one_does_and_the_others_are_told(server: Server) -> None:
    prefix = fresh_prefix()
    store = server.store(prefix)
    now = put(store, b"now", "production")
    for turn in range(5):
        manifests = [put(store, f"{turn}.{number}".encode()) for number in range(6)]
        others = {manifest: server.store(prefix) for manifest in manifests}
        before = Digest.of(now)
        outcomes = at_once(
            lambda m, all=others, now=before: all[m].put_manifest(NAME, "production", m, replacing=now), manifests
        )
        won = [manifest for manifest, outcome in zip(manifests, outcomes, strict=True) if outcome is None]
        assert won == [store.manifest(NAME, "production")]
        assert all(outcome is None or isinstance(outcome, Conflict) for outcome in outcomes)
        now = won[0]
    assert listed(store) == {f"{NAME}:production"} and store.check_index() == ()


def test_a_tag_is_not_deleted_when_it_moves_at_that_moment(server: Server) -> None:
    prefix = fresh_prefix()
    store, other = server.store(prefix), server.store(prefix)
    first, second = put(store, b"first"), put(store, b"second")
    for _ in range(10):
        store.put_manifest(NAME, "channel", first)

        def act(which: bytes) -> None:
            if which == first:
                store.delete_tag(NAME, "channel", expected=Digest.of(first))
            else:
                other.put_manifest(NAME, "channel", second, replacing=Digest.of(first))

        outcomes = at_once(act, [first, second])
        assert sum(outcome is None for outcome in outcomes) == 1, outcomes
        left = [second] if outcomes[1] is None else []
        assert [store.manifest(NAME, tag) for tag in store.tags(NAME)] == left
        store.delete_tag(NAME, "channel")
    assert not listed(store) and store.check_index() == ()


# Collecting while others push


def test_a_push_that_counts_on_what_is_just_being_collected_waits_and_is_told(server: Server) -> None:
    """The collector has seen the blob old and stands still before he deletes it; until the pusher waits for him."""
    prefix = fresh_prefix()
    store, collector = server.store(prefix, renewed=timedelta(seconds=2)), server.store(prefix)
    digest, manifest = Digest.of(b"content"), put(store, b"content")
    condemned, go, waits = threading.Event(), threading.Event(), threading.Event()
    collector._blobs._bucket = _Watched(bucket_of(collector), condemned, go)  # type: ignore[assignment]
    store._blobs._bucket = _Watched(bucket_of(store), waits=waits)  # type: ignore[assignment]

    def collect() -> None:
        while not collector.delete(digest, older_than=timedelta(seconds=4)):
            time.sleep(0.1)

    collecting = threading.Thread(target=collect)
    collecting.start()
    assert condemned.wait(30)
    failed: list[Error] = []

    def push() -> None:
        try:
            store.write(NAME, digest, 7, io.BytesIO(b"content"))  # finds it, and renews it
            store.put_manifest(NAME, DATED, manifest)
        except Error as error:
            failed.append(error)

    pushing = threading.Thread(target=push)
    pushing.start()
    assert waits.wait(30)
    pushing.join(1)
    assert pushing.is_alive() and not list(store.names()), failed
    go.set()
    for each in (pushing, collecting):
        each.join(60)
        assert not each.is_alive()
    assert [type(error) for error in failed] == [NotFound] and not list(store.names())


class _Watched:
    """A bucket whose user says when he looks at the marks of collectors, and stands still before he deletes a blob."""

    def __init__(
        self,
        bucket: Bucket,
        condemned: threading.Event | None = None,
        go: threading.Event | None = None,
        waits: threading.Event | None = None,
    ) -> None:
        self._bucket, self._condemned, self._go, self._waits = bucket, condemned, go, waits

    def listed(self, prefix: str) -> Iterator[Seen]:
        if prefix == CONDEMNED and self._waits:
            self._waits.set()
        return self._bucket.listed(prefix)

    def delete(self, key: str) -> None:
        if key.startswith(FOLDER) and self._condemned and self._go:
            self._condemned.set()
            self._go.wait(60)
        self._bucket.delete(key)

    def __getattr__(self, name: str) -> object:
        return getattr(self._bucket, name)


def test_a_young_blob_is_not_collected_by_its_age_whatever_the_grace(calm: Server) -> None:
    store = calm.store(fresh_prefix(), renewed=timedelta(hours=1))
    digest, _ = store.add(NAME, io.BytesIO(b"x"))
    time.sleep(2.1)
    assert not store.delete(digest, older_than=timedelta(seconds=1))
    assert store.stat(NAME, digest) == 1 and not keys(store, ".condemned/")


def test_a_mark_of_a_dead_collector_holds_nobody_up_for_ever(calm: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = calm.store(fresh_prefix())
    manifest = put(store, b"content")
    bucket_of(store).put(f".condemned/sha256-{Digest.of(b'content').hex}", b"")
    monkeypatch.setattr("naust.store.s3_blobs.DEAD", timedelta(seconds=1))
    store.put_manifest(NAME, DATED, manifest)
    time.sleep(1)
    store.stale_uploads(timedelta(0))
    assert not keys(store, ".condemned/")


# The index


def requests(store: S3Store, act: Callable[[], None], at: int) -> None:
    """Do it, and die by kill -9 before request `at`, or after it where that is odd."""
    left, plain = at // 2, Bucket.request

    def request(self: Bucket, *more: object, **rest: object) -> object:
        nonlocal left
        if left == 0 and at % 2 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        opened = plain(self, *more, **rest)  # type: ignore[arg-type]
        left -= 1
        return _Dying(opened) if left < 0 else opened

    Bucket.request = request  # type: ignore[assignment, method-assign]
    act()


class _Dying:
    """A request after whose answer the process dies."""

    def __init__(self, opened: object) -> None:
        self._opened = opened

    def __enter__(self) -> object:
        self._opened.__enter__()  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def __exit__(self, *_: object) -> None:
        raise AssertionError


@pytest.mark.parametrize("change", ["put", pytest.param("move", marks=pytest.mark.long), "delete"])
def test_a_writer_killed_at_any_request_leaves_a_listing_that_is_right(calm: Server, change: str) -> None:
    points = 0
    while True:
        prefix = fresh_prefix()
        store = calm.store(prefix)
        first, second = put(store, b"first", "channel"), put(store, b"second")
        assert listed(store) == {f"{NAME}:channel"}  # so there is an index
        acts: dict[str, Callable[[], object]] = {
            "put": lambda: calm.store(prefix).put_manifest(NAME, DATED, second),  # noqa: B023  # ends before the next
            "move": lambda: calm.store(prefix).put_manifest(NAME, "channel", second, replacing=Digest.of(first)),  # noqa: B023
            "delete": lambda: calm.store(prefix).delete_tag(NAME, "channel"),  # noqa: B023
        }
        code = in_child(lambda: requests(store, acts[change], points))  # type: ignore[arg-type, return-value]  # noqa: B023
        again = calm.store(prefix)
        assert listed(again) == there(again)
        digests = {artifact.digest for _, artifact in again.artifacts() if not isinstance(artifact, Corrupt)}
        assert digests == {Digest.of(again.manifest(NAME, tag)) for tag in again.tags(NAME)}
        assert again.check_index() == ()
        if code == 0:
            break
        assert code == -signal.SIGKILL
        points += 1
    assert points > 10
    print(f"{points} points")


def test_many_changes_are_gathered_and_two_who_gather_do_no_harm(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("naust.store.s3_index.MOST_INTENTS", 4)
    monkeypatch.setattr("naust.store.s3_index._LOOKS", 1)
    prefix = fresh_prefix()
    stores = [server.store(prefix) for _ in range(4)]
    manifest = put(stores[0], b"x")

    def publish(which: bytes) -> None:
        number = int(which)
        for turn in range(8):
            stores[number].put_manifest(f"file/n{number}", f"1.{turn}", manifest)
            if turn % 3 == 2:
                stores[number].delete_tag(f"file/n{number}", f"1.{turn - 1}")

    assert at_once(publish, [b"0", b"1", b"2", b"3"]) == [None] * 4
    fresh = server.store(prefix)
    assert listed(fresh) == there(fresh) and len(there(fresh)) == 4 * 6
    assert fresh.check_index() == ()
    assert len(keys(fresh, ".index/root/")) == 1
    assert len(keys(fresh, ".index/intent/")) < 4 * 10
    assert {row.tag for row in fresh.rows("file/n2") if not isinstance(row, tuple) or len(row) > 2} == {
        f"1.{turn}" for turn in (0, 2, 3, 5, 6, 7)
    }


@pytest.mark.parametrize("harm", ["all gone", "segments gone", "segment damaged", "root damaged"])
def test_an_index_that_is_harmed_costs_time_and_nothing_else(calm: Server, harm: str) -> None:
    store = calm.store(fresh_prefix())
    put(store, b"x", DATED)
    put(store, b"y", "channel")
    assert len(listed(store)) == 2
    bucket = bucket_of(store)
    store.rebuild_index()
    for key in keys(store, ".index/"):
        if harm == "all gone" or (harm == "segments gone" and "/segment/" in key):
            bucket.delete(key)
        elif harm == "segment damaged" and "/segment/" in key:
            found = bucket.get(key)
            assert found
            bucket.put(key, found[0][:-9] + b"damaged!" + found[0][-1:])
        elif harm == "root damaged" and "/root/" in key:
            bucket.put(key, b"{")
    assert listed(store) == there(store) == {f"{NAME}:{DATED}", f"{NAME}:channel"}
    assert store.check_index() == () and listed(store) == there(store)


def test_what_others_did_behind_the_index_is_found_and_mended(calm: Server) -> None:
    store = calm.store(fresh_prefix())
    put(store, b"x", "1.0")
    put(store, b"y", "1.1")
    manifest = put(store, b"z")
    store.rebuild_index()
    bucket = bucket_of(store)
    bucket.delete(f"{NAME}/1.0")
    bucket.put(f"{NAME}/1.1", manifest)
    bucket.put(f"{NAME}/1.2", manifest)
    found = store.check_index()
    assert [f"{NAME}:1.{number}" in line for number, line in enumerate(found)] == [True, True, True]
    store.rebuild_index()
    assert store.check_index() == () and listed(store) == {f"{NAME}:1.1", f"{NAME}:1.2"}


def test_who_may_only_read_lists_all_the_same(calm: Server, proxy: FaultProxy) -> None:
    prefix = fresh_prefix()
    put(calm.store(prefix), b"x", DATED)
    proxy.add(Fault(status=403, times=None, when=lambda seen: seen.method not in ("GET", "HEAD")))
    reader = calm.by(proxy.address).store(prefix)
    assert listed(reader) == {f"{NAME}:{DATED}"} == listed(reader)
    assert not reader.traits().compare_and_swap


def test_a_listing_takes_a_handful_of_requests(calm: Server, proxy: FaultProxy) -> None:
    prefix = fresh_prefix()
    store = calm.store(prefix)
    for number in range(30):
        put(store, str(number).encode(), f"1.{number}")
    store.rebuild_index()
    reader = calm.by(proxy.address).store(prefix)
    assert len([row for row in reader.rows() if len(row) > 2]) == 30
    assert len(proxy.seen) == 4, [(seen.method, seen.target) for seen in proxy.seen]


def test_a_newer_format_is_refused(calm: Server) -> None:
    prefix = fresh_prefix()
    put(calm.store(prefix), b"x", DATED)
    bucket = calm.bucket(prefix)
    found = bucket.get(".format")
    assert found
    bucket.put(".format", found[0].replace(b'"format": 1', b'"format": 2'))
    for act in (lambda s: list(s.names()), lambda s: list(s.artifacts()), lambda s: s.add(NAME, io.BytesIO(b"y"))):
        with pytest.raises(Error, match="format 2"):
            act(calm.store(prefix))
