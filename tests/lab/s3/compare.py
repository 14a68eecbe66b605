"""Tables of answers, and where two of them differ. What no two requests have in common is taken out first: dates, the
identifiers that the server makes, and the letter of the side in names of buckets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.lab.s3.sides import Side
from tests.lab.s3.wire import Answer

Note = Callable[[str, Answer], Answer]
Part = Callable[[Side, Note], None]

# About the connection, not about the answer (RFC 9110, 7.6.1), and the clock.
_OF_THE_HOP = ("connection", "keep-alive", "transfer-encoding", "date")
_MADE_BY_THE_SERVER = (
    (r"tx[0-9a-f]{21}-[0-9a-f]{10}-[0-9a-f]+-default", "REQUEST-ID"),
    (r"<HostId>[^<]*</HostId>", "<HostId/>"),
    (r"HostId: [\w-]+", "HostId"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?", "TIME"),
    (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "DATE"),
    (r"\b2~[\w.-]{31}", "UPLOAD-ID"),
    (r"(?<=<VersionId>)(?!null)[^<]+", "VERSION"),
    (r"(?<=VersionIdMarker>)(?!null)[^<]+", "VERSION"),
    (r"cmp-b", "cmp-d"),
)  # fmt: skip
_BY_HEADER = {"x-amz-version-id": "VERSION", "x-timestamp": "TIME", "x-trans-id": "ID", "x-openstack-request-id": "ID"}


@dataclass(frozen=True)
class Cell:
    """What is compared."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str
    interim: tuple[int, ...]
    error: str
    chunked: bool

    @staticmethod
    def of(answer: Answer) -> Cell:
        """An answer without what differs every time."""
        chunked = "transfer-encoding" in answer.headers
        kept = {name: value for name, value in answer.headers.items() if name not in _OF_THE_HOP}
        headers = {name: _BY_HEADER.get(name) if value != "null" else value for name, value in kept.items()}
        plain = tuple(sorted((name, headers[name] or _plain(value)) for name, value in kept.items()))
        return Cell(answer.status, plain, _plain(answer.text), answer.interim, answer.error, chunked)

    def differences(self, other: Cell) -> list[str]:
        """In words, the other one's last."""
        found = []
        for name in ("status", "interim", "error", "body"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                found.append(f"{name}: {_short(ours)} -> {_short(theirs)}")
        ours, theirs = dict(self.headers), dict(other.headers)
        # How long a body is may be said before it or in its chunks; bodies were compared (RFC 9112, 6.1).
        skipped = {"content-length"} if self.chunked or other.chunked else set()
        for name in sorted((ours.keys() | theirs.keys()) - skipped):
            if ours.get(name) != theirs.get(name):
                found.append(f"{name}: {_short(ours.get(name))} -> {_short(theirs.get(name))}")
        return found


def _plain(text: str) -> str:
    # Many are deleted at once, and named as they are done.
    deleted = sorted(re.findall(r"<Deleted>.*?</Deleted>", text))
    text = re.sub(r"(<Deleted>.*</Deleted>)", lambda _: "".join(deleted), text)
    for pattern, word in _MADE_BY_THE_SERVER:
        text = re.sub(pattern, word, text)
    return text


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:300]}…"


@dataclass
class Table:
    """Answers of one side, by what was asked."""

    side: Side
    cells: dict[str, Cell] = field(default_factory=dict)

    def fill(self, parts: Iterable[Part]) -> Table:
        """Ask all that these ask."""
        for part in parts:
            part(self.side, self._note)
        return self

    def _note(self, name: str, answer: Answer) -> Answer:
        assert name not in self.cells, f"two cells are called {name}"
        self.cells[name] = Cell.of(answer)
        return answer

    def good(self) -> int:
        """How many requests were carried out."""
        return sum(200 <= cell.status < 300 for cell in self.cells.values())


def differences(direct: Table, balanced: Table) -> dict[str, list[str]]:
    """Cell → what differs in it; cells that only one side has are differences too."""
    found = {name: ["only one side has it"] for name in direct.cells.keys() ^ balanced.cells.keys()}
    for name in direct.cells.keys() & balanced.cells.keys():
        if said := direct.cells[name].differences(balanced.cells[name]):
            found[name] = said
    return dict(sorted(found.items()))
