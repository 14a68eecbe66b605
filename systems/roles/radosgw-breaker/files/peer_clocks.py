"""Whether this node's clock is another one than that of the nodes beside it, by what they date their answers with.

RadosGW refuses signatures that are a quarter of an hour off (src/rgw/rgw_auth_s3.h, RGW_AUTH_GRACE): one whose
node has a wrong clock refuses all clients, and nobody on that node can see it, who have the same clock.
"""

from __future__ import annotations

import http.client
import random
import ssl
import statistics
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path

MOST = 300.0  # seconds; clocks of a fleet that differ by as much do not follow one another any more
APART = 30.0  # seconds; peers that agree are not further apart
JUMP = 30.0  # seconds by which a clock may move on its own between two looks
EVERY = 30.0  # seconds between two looks at the peers' clocks, while nothing has jumped
SOON = 5.0  # the same when too few have answered
TIMEOUT = 1.0  # seconds for a peer's answer
ASKED = 5  # peers at a time, others each time: a fleet of many need not ask everybody
PORT = 7443  # of RadosGW, by TLS
# X509_V_FLAG_NO_CHECK_TIME, X509_VERIFY_PARAM_set_flags(3): with a clock of another year no certificate would be good.
NO_TIME = ssl.VerifyFlags(0x200000)


def off_by(offsets: Sequence[float]) -> float:
    """How many seconds this clock is off, by those of its peers; 0 when it is good, or fewer than two of them, and more
    than half, say the same. Pure."""
    if len(offsets) < 2:
        return 0.0
    middle = statistics.median(offsets)
    agree = sum(abs(each - middle) <= APART for each in offsets)
    return -middle if abs(middle) > MOST and agree >= 2 and 2 * agree > len(offsets) else 0.0


class Peers:
    """RadosGWs of other nodes."""

    def __init__(self, addresses: Sequence[str], trust: Path) -> None:
        self._addresses, self._trust = addresses, trust

    def ask(self) -> list[float]:
        """How many seconds the clocks of some that answer are ahead of this node's. Raises OSError without a CA."""
        if len(self._addresses) < 2:
            return []  # nobody could tell which of two clocks is wrong
        tls = ssl.create_default_context(cafile=str(self._trust))
        tls.verify_flags |= NO_TIME
        chosen = random.sample(self._addresses, min(ASKED, len(self._addresses)))
        return [found for address in chosen if (found := self._one(address, tls)) is not None]

    @staticmethod
    def _one(address: str, tls: ssl.SSLContext) -> float | None:
        connection = http.client.HTTPSConnection(address, PORT, timeout=TIMEOUT, context=tls)
        try:
            connection.request("HEAD", "/")
            date = connection.getresponse().headers.get("Date", "")
            return parsedate_to_datetime(date).timestamp() - time.time()
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()


class Clock:
    """This node's. `ask` says how far ahead others are; `wall` and `steady` are the two clocks of the kernel."""

    def __init__(
        self,
        ask: Callable[[], Sequence[float]],
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._wall, self._steady = ask, wall, steady
        self._off, self._due, self._between = 0.0, 0.0, wall() - steady()

    def off(self) -> float:
        """Seconds; above 0 it is ahead. Others are asked when it jumped, every now and then, and while it is wrong."""
        now, between = self._steady(), self._wall() - self._steady()
        if self._off or now >= self._due or abs(between - self._between) > JUMP:
            found = self._ask()
            self._off, self._due = off_by(found), now + (EVERY if len(found) > 1 else SOON)
        self._between = between
        return self._off
