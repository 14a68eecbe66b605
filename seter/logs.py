"""`seter logs`: what roles on a node have printed, now and as it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from common.errors import Error, NotFound
from common.system import Deployment
from seter.blueprint import read_blueprint
from seter.exec import seat_of, seats_on
from seter.survey import open_provisioner

Write = Callable[[bytes], object]


def logs(
    deployment: Deployment,
    systems: Path | None,
    node: str,
    role: str,
    *,
    state: str | None = None,
    since: timedelta | None,
    follow: bool,
    write: Write,
) -> None:
    """Hand what the role has printed to `write`, whole lines; without a role that of all on the node side by side, each
    line with its role before it. With `follow` until the processes are gone.

    Raises BadInput for unknown names, NotFound if nothing of it runs.
    """
    blueprint = read_blueprint(deployment, systems, state, lenient=True)
    seats = [seat_of(blueprint, node, role)] if role else seats_on(blueprint, node)
    provisioner = open_provisioner(blueprint, state)
    names = [seat.role.name for seat in seats if seat.role.process is not None]
    width, lock = max(map(len, names), default=0), threading.Lock()
    failed: list[Error] = []

    def one(name: str) -> None:
        prefix = b"" if role else f"{name:<{width}} | ".encode()
        try:
            for line in lines(provisioner.logs(node, name, since=since, follow=follow)):
                with lock:
                    write(prefix + line)
        except Error as error:
            failed.append(error)

    if not follow:
        for name in names:
            one(name)
    else:
        threads = [threading.Thread(target=one, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failed and (len(failed) == len(names) or not all(isinstance(error, NotFound) for error in failed)):
        raise failed[0]


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, each with its end, of what comes in pieces; a last one without an end gets one."""
    left = b""
    for piece in pieces:
        *whole, left = (left + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if left:
        yield left + b"\n"
