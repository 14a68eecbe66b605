"""A profile (s3_profile.py) that is like what an access log has: of Traefik, as JSON, or of S3, as lines.

S3's lines are those of Amazon's server access logs (user guide, "Amazon S3 server access log format"), which RadosGW's
bucket logging writes as well. Nothing of a request goes into the profile but its time, kind, size and how often its key
comes back: no key, no address, no name, no signature. Traefik's log has no queries: a part of an upload is a PUT there,
two POSTs on a key are one upload in parts, and a GET on a bucket is a list.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from s3_profile import SIZE_AT_MOST, Profile, Sizes

KEYS_AT_MOST = 1_000_000  # that are told apart; those that come later are not counted
LINES_AT_MOST = 2_000_000  # the first ones, which are kept in memory: half a gigabyte
LINE_AT_MOST = 64 * 1024  # characters; a longer line is none of a log
CONSTANT_BELOW = 0.5  # variance of the requests in a second, over their mean; by chance it would be 1
_S3 = re.compile(
    r'\S+ (?P<bucket>\S+) \[(?P<at>[^\]]+)\] \S+ \S+ \S+ (?P<operation>\S+) (?P<key>\S+) (?:"(?:[^"\\]|\\.)*"|-) '
    r"(?P<status>\d{3}|-) \S+ (?P<sent>\d+|-) (?P<size>\d+|-) "
)
_S3_OPERATIONS = {
    "REST.GET.OBJECT": "GET",
    "REST.PUT.OBJECT": "PUT",
    "REST.POST.OBJECT": "PUT",
    "REST.COPY.OBJECT": "PUT",
    "REST.PUT.PART": "PUT",
    "REST.HEAD.OBJECT": "HEAD",
    "REST.HEAD.BUCKET": "HEAD",
    "REST.DELETE.OBJECT": "DELETE",
    "REST.POST.MULTI_OBJECT_DELETE": "DELETE",
    "REST.GET.BUCKET": "LIST",
    "REST.GET.BUCKETVERSIONS": "LIST",
    "REST.GET.SERVICE": "LIST",
    "REST.POST.UPLOAD": "MULTIPART",
    "REST.PUT.BUCKET": "BUCKET",
}
_WHOLE = 200  # the status of an answer that has all of an object, or stored it


@dataclass(frozen=True, slots=True)
class Line:
    """One request. `at` seconds since 1970; `key` is empty where there is none; `size` in bytes is None if unknown."""

    at: float
    operation: str
    host: str
    key: str
    size: int | None


@dataclass(slots=True)
class _Seen:
    """What a log had so far."""

    operations: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)  # powers of two
    keys: Counter[int] = field(default_factory=Counter)
    seconds: Counter[int] = field(default_factory=Counter)
    first: float = math.inf
    last: float = -math.inf

    def hear(self, line: Line) -> None:
        self.operations[line.operation] += 1
        self.first, self.last = min(self.first, line.at), max(self.last, line.at)
        self.seconds[int(line.at)] += 1
        if line.size is not None:
            self.sizes[min(line.size, SIZE_AT_MOST - 1).bit_length()] += 1
        if line.key and (len(self.keys) < KEYS_AT_MOST or hash(line.key) in self.keys):
            self.keys[hash(line.key)] += 1


def profile_of(lines: Iterable[str]) -> Profile:
    """Of a whole log; lines that are none of a log are passed over. Raises ValueError when no request is left."""
    seen, posts = _Seen(), 0
    for line in _hosts_resolved(filter(None, map(parsed, lines))):
        if line.operation == "POST":
            posts += 1
            if posts % 2:
                continue
        seen.hear(Line(line.at, "MULTIPART" if line.operation == "POST" else line.operation, "", line.key, line.size))
    if not seen.operations:
        raise ValueError("it has no request in Traefik's JSON or in S3's access log format")
    requests = seen.operations.total()
    return Profile(
        rate=max(0.001, round(requests / max(1.0, seen.last - seen.first), 3)),
        arrival="constant" if _dispersion(seen.seconds) < CONSTANT_BELOW else "poisson",
        objects=max(1, len(seen.keys)),
        exponent=_exponent(seen.keys),
        operations={name: float(count) for name, count in sorted(seen.operations.items())},
        sizes=tuple(_sizes(seen.sizes)) or Profile().sizes,
    )


def parsed(text: str) -> Line | None:
    """One line of either kind; None when it is none. Pure."""
    if len(text) > LINE_AT_MOST:
        return None
    try:
        return _of_traefik(text) if text.lstrip().startswith("{") else _of_s3(text)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _of_traefik(text: str) -> Line | None:
    found = json.loads(text)
    method, path, status = str(found["RequestMethod"]), str(found["RequestPath"]), int(found["DownstreamStatus"])
    sizes = {"GET": "DownstreamContentSize", "PUT": "RequestContentSize"}
    size = int(found.get(sizes[method], -1)) if method in sizes and status == _WHOLE else -1
    at = datetime.fromisoformat(str(found["StartUTC"]).replace("Z", "+00:00")).timestamp()
    if method not in ("GET", "PUT", "HEAD", "DELETE", "POST"):
        return None
    # Below 0 is a body in chunks, of which Traefik does not know the length when it begins.
    return Line(at, method, str(found.get("RequestHost", "")), path.strip("/"), size if size >= 0 else None)


def _of_s3(text: str) -> Line | None:
    found = _S3.match(text)
    if found is None or found["operation"] not in _S3_OPERATIONS:
        return None
    operation = _S3_OPERATIONS[found["operation"]]
    at = datetime.strptime(found["at"], "%d/%b/%Y:%H:%M:%S %z").timestamp()
    known = found["size"] if found["size"] != "-" else found["sent"]
    size = int(known) if operation in ("GET", "PUT") and found["status"] == str(_WHOLE) and known != "-" else None
    key = "" if found["key"] == "-" else f"{found['bucket']}/{found['key']}"
    return Line(at, operation, "-", key, size)


def _hosts_resolved(lines: Iterator[Line]) -> Iterator[Line]:
    """Traefik's lines know bucket and key by path or by host: the service's name is the shortest of all that others end
    with. Lists are what is asked of no key."""
    found = list(itertools.islice(lines, LINES_AT_MOST))
    hosts = sorted({line.host for line in found}, key=len)
    below = {host for host in hosts if any(host != name and host.endswith("." + name) for name in hosts)}
    for line in found:
        if line.host == "-":
            yield line
            continue
        path = f"{line.host}/{line.key}" if line.host in below else line.key
        _, _, key = path.partition("/")
        if key or line.operation in ("HEAD", "PUT", "DELETE"):
            yield Line(line.at, line.operation, "", path if key else "", line.size if key else None)
        else:
            yield Line(line.at, "DELETE" if line.operation == "POST" else "LIST", "", "", None)


def _dispersion(seconds: Counter[int]) -> float:
    span = range(min(seconds), max(seconds) + 1) if max(seconds) - min(seconds) < 10**6 else seconds
    counts = [seconds[second] for second in span]
    if len(counts) < 10:
        return 1.0  # too few to tell
    mean = statistics.fmean(counts)
    return statistics.pvariance(counts, mean) / mean


def _exponent(keys: Counter[int]) -> float:
    """Of the line through rank and count, both as logarithms (least squares); 0 when all keys are alike."""
    counts = [math.log(count) for _, count in keys.most_common(1000)]
    if len(counts) < 3:
        return 0.0
    slope = statistics.linear_regression([math.log(rank) for rank in range(1, len(counts) + 1)], counts).slope
    return round(min(10.0, max(0.0, -slope)), 2)


def _sizes(powers: Counter[int]) -> Iterator[Sizes]:
    for power, count in sorted(powers.items()):
        yield Sizes(1 << power - 1 if power else 0, (1 << power) - 1, float(count))
