"""A load of many kinds of requests whose times are fixed beforehand, whatever becomes of earlier ones.

A generator that waits for an answer before it asks again counts one slow request where customers would have had a
hundred ("coordinated omission"). Here each request has its planned time, its latency counts from there, and how far its
start lagged behind is part of the report: above `LAG_AT_MOST` (s3_tally.py) the run is not valid.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from s3_content import ContentError
from s3_operations import BUCKET, AnswerError, Operations, Seen, Signer, identifier
from s3_profile import Plan, Planned, Profile
from s3_round_trip import ensure_bucket
from s3_service import PORT, Service, resolved
from s3_tally import Outcome, Run, Tally, now, tell
from s3_wire import Connection, Pool, WireError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

AT_ONCE = 8192  # requests under way; what is due beyond that is not sent, and the run not valid
TOGETHER = 16  # objects that are stored before, or removed afterwards, at once
TRIES = 3  # of each of them
_OURS = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS)  # this machine's faults, not the service's
_FAULTS = (OSError, WireError, AnswerError, ContentError)


@dataclass(frozen=True, slots=True)
class Way:
    """How to get there. `names` are of gateways, by a RadosGW's number or an address."""

    service: Service
    addresses: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)


class Drive:
    """One run of a profile. `run` names its objects, apart from those of others; `hear` gets a line every second."""

    def __init__(
        self, way: Way, profile: Profile, seconds: float, late: float, run: str, hear: Callable[..., None] | None = None
    ) -> None:
        self._way, self._profile, self._seconds, self._hear = way, profile, seconds, hear
        self._plan, self.tally = Plan(profile, seconds), Tally(late)
        self._operations = Operations(way.service.dns_name, Signer(*way.service.keys()), run, time.monotonic)
        keep = profile.connections == "kept"
        self._pool = Pool(way.service.dns_name, PORT, way.service.tls(), keep)
        self._under_way: set[asyncio.Task[None]] = set()
        self._planned = self._unsent = self._sent_now = 0
        self._faults: dict[str, None] = {}
        self._ending = asyncio.Event()

    async def prepare(self) -> None:
        """Store what is read, `TOGETHER` objects at once. Raises OSError with the first reason."""
        failed = await self._together([partial(self._operations.put, key, size) for key, size in self._plan.prepared()])
        if failed:
            raise OSError(f"what is to be read cannot be stored: {failed[0]}")

    async def clean(self) -> list[str]:
        """Remove all that was stored; why some of it stays."""
        operations = self._operations
        failed = await self._together(
            [
                *(partial(operations.delete, key) for key in sorted(operations.stored)),
                *(partial(operations.remove_bucket, name) for name in sorted(operations.buckets)),
            ]
        )
        self._pool.close()
        return failed

    async def _together(self, todo: list[Callable[[Connection, Seen], Awaitable[None]]]) -> list[str]:
        """Each with some tries; the reasons of those that failed."""
        failed: list[str] = []

        async def work() -> None:
            while todo:
                failed.extend(await self._tried(todo.pop()))

        await asyncio.gather(*(work() for _ in range(TOGETHER)))
        return failed

    async def _tried(self, act: Callable[[Connection, Seen], Awaitable[None]]) -> list[str]:
        reason = ""
        for attempt in range(TRIES):
            await asyncio.sleep(0.2 * attempt)
            try:
                async with asyncio.timeout(self._profile.timeout):
                    address = self._way.addresses[attempt % len(self._way.addresses)]
                    async with self._pool.connection(address) as connection:
                        await act(connection, Seen(identifier()))
                return []
            except _FAULTS as fault:
                reason = reason_of(fault, self._profile.timeout)
        return [reason]

    def stop(self) -> None:
        """Nothing more begins; what is under way ends, and the report tells that it is not the whole."""
        self._ending.set()

    async def go(self) -> Run:
        """All of it, from now. Never raises because the service is bad."""
        gc.collect()
        gc.freeze()  # what is there now stays: a collection would look through all of it again and again
        started_at, start = now(), time.monotonic()
        lines = asyncio.create_task(self._lines(start))
        for planned in self._plan.requests():
            if await self._stopped(start + planned.due):
                self._fault(f"it was stopped after {time.monotonic() - start:.1f} s of {self._seconds:g} s")
                break
            self._begin(planned, start)
        else:
            await self._stopped(start + self._seconds)
        seconds = time.monotonic() - start
        while self._under_way:
            await asyncio.wait(set(self._under_way))
        lines.cancel()
        self._line(start)
        way, profile = self._way, self._profile.document()
        return Run(
            way.service.dns_name, way.addresses, profile, started_at, seconds, self._planned, self._unsent,
            tuple(self._faults),
        )  # fmt: skip

    async def _stopped(self, due: float) -> bool:
        """Wait until then, or until `stop`: True."""
        left = due - time.monotonic()
        if left > 0.25:
            try:
                async with asyncio.timeout(left):
                    await self._ending.wait()
            except TimeoutError:
                pass
        else:
            await asyncio.sleep(max(0.0, left))
        return self._ending.is_set()

    def _begin(self, planned: Planned, start: float) -> None:
        self._planned += 1
        if len(self._under_way) >= AT_ONCE:
            self._unsent += 1
            self._fault(f"{AT_ONCE} requests were under way at once")
            return
        self._sent_now += 1
        task = asyncio.create_task(self._one(planned, start))
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        fault = task.exception()
        if fault is not None:
            self._fault(f"a fault of this program: {type(fault).__name__}: {fault}")

    async def _one(self, planned: Planned, start: float) -> None:
        lag = time.monotonic() - start - planned.due
        addresses, seen, reason, answers = self._way.addresses, Seen(identifier()), "", 0
        address = addresses[planned.number % len(addresses)]
        try:
            async with asyncio.timeout(self._profile.timeout):
                async with self._pool.connection(address) as connection:
                    answers = connection.answers
                    await self._operations.act(planned, connection, seen)
        except _FAULTS as fault:
            reason = reason_of(fault, self._profile.timeout, answers)
            if isinstance(fault, OSError) and fault.errno in _OURS:
                self._fault(f"this machine could not go on: {reason}")
        names = self._way.names
        gateway = names.get(seen.gateway, seen.gateway) or names.get(address, "")
        seconds = time.monotonic() - start - planned.due
        self.tally.hear(
            Outcome(
                planned.number,
                planned.due,
                lag,
                seconds,
                planned.operation,
                address,
                gateway,
                seen.received,
                seen.stored,
                reason,
                seen.identifier,
            )
        )

    def _fault(self, words: str) -> None:
        self._faults[words] = None

    async def _lines(self, start: float) -> None:
        second = 1
        while True:
            await asyncio.sleep(max(0.0, start + second - time.monotonic()))
            self._line(start)
            second += 1

    def _line(self, start: float) -> None:
        sent, self._sent_now = self._sent_now, 0
        line = self.tally.line(round(time.monotonic() - start), sent, now())
        if self._hear:
            self._hear(line)


def reason_of(fault: Exception, timeout: float, answers: int = 0) -> str:
    """For people. `answers` is how many the connection had given before: who closes a kept one may mean no harm."""
    if isinstance(fault, TimeoutError) and not str(fault):
        words = f"no answer within {timeout:g} s"
    elif isinstance(fault, (AnswerError, ContentError, WireError)):
        words = str(fault)
    else:
        words = f"{type(fault).__name__}: {fault}"
    kept = answers and isinstance(fault, (OSError, WireError)) and not isinstance(fault, TimeoutError)
    return f"{words}, on a connection that was kept after {answers} answers" if kept else words


def drive(way: Way, profile: Profile, seconds: float, late: float, *, stream: bool) -> tuple[Tally, Run]:
    """Prepare, run, remove what it stored. Raises OSError when nothing could be stored to begin with."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    run, client = identifier(), way.service.client(attempts=3)
    with resolved(way.service.dns_name, way.addresses[0]):
        try:
            ensure_bucket(client, BUCKET)
        except (BotoCoreError, ClientError) as fault:
            raise OSError(f"the bucket {BUCKET} cannot be used: {fault}") from fault
    found, failed = asyncio.run(_driven(Drive(way, profile, seconds, late, run, tell if stream else None)))
    if "MULTIPART" in profile.operations:
        with resolved(way.service.dns_name, way.addresses[0]):
            failed += _abort(client, run)
    if failed:
        print(f"s3-client: of {BUCKET}/{run} {len(failed)} objects or buckets stay: {failed[0]}", file=sys.stderr)
    return found


async def _driven(driven: Drive) -> tuple[tuple[Tally, Run], list[str]]:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, driven.stop)
    try:
        await driven.prepare()
        print("s3-client: drive begins", file=sys.stderr, flush=True)
        run = await driven.go()
    finally:
        failed = await driven.clean()
    return (driven.tally, run), failed


def _abort(client: S3Client, run: str) -> list[str]:
    """Uploads in parts that were broken off; why some stay."""
    try:
        for upload in client.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{run}/").get("Uploads", []):
            client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    except (BotoCoreError, ClientError, OSError) as fault:
        return [str(fault)]
    return []
