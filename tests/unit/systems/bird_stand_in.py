"""A BIRD that knows `show protocols`, `enable` and `disable`, answering as BIRD 2.17.6 does on its control socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path


class StandIn:
    """`up` is what it announces, `routers` its BGP sessions, `asked` every command it got."""

    def __init__(self, path: Path, protocols: tuple[str, ...]) -> None:
        self.up = dict.fromkeys(protocols, False)
        self.routers: dict[str, bool] = {}
        self.asked: list[str] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # closed
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        lines = connection.makefile("rw", encoding="utf-8")
        try:
            lines.write("0001 BIRD 2.17.6 ready.\n")
            lines.flush()
            for line in lines:
                lines.write(self._answer(line.strip()))
                lines.flush()
        except (OSError, ValueError):  # the other side, or `hang_up`
            return

    def _answer(self, command: str) -> str:
        self.asked.append(command)
        name = command.split()[-1]
        if command == "show protocols":
            return self._table(list(self.up))
        if name.startswith('"'):
            fit = [one for one in self.up if fnmatch(one, name.strip('"'))]
            return self._table(fit) if fit else "8003 No protocols match\n"
        if name not in self.up:
            return "9001 syntax error, unexpected CF_SYM_UNDEFINED\n"
        if command.startswith("show protocols"):
            return self._table([name])
        wanted = command.startswith("enable")
        code = {True: ("0010", "already enabled"), False: ("0008", "already disabled")}[wanted]
        if self.up[name] != wanted:
            self.up[name] = wanted
            code = {True: ("0011", "enabled"), False: ("0009", "disabled")}[wanted]
        return f"{code[0]}-{name}: {code[1]}\n0000 \n"

    def _table(self, names: list[str]) -> str:
        words = ["2002-Name       Proto      Table      State  Since         Info\n"]
        for count, name in enumerate(names):
            state = "up  " if self.up[name] else "down"
            before = " " if count else "1002-"
            words.append(f"{before}{name}       Static     master4    {state}   2026-11-25 02:00:28.559  \n")
        for name, up in self.routers.items() if len(names) > 1 else ():
            state, info = ("up   ", "Established") if up else ("start", "Active        Socket: No route to host")
            words.append(f" {name}     BGP        ---        {state}  2026-11-25 02:00:28.559  {info}\n")
        return "".join((*words, "0000 \n"))

    def hang_up(self) -> None:
        """Cut all connections, as a BIRD that dies does."""
        for connection in self._connections:
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._connections.clear()

    def close(self) -> None:
        """Nobody listens any more."""
        self._server.close()
        self.hang_up()


@contextmanager
def stand_in(path: Path, protocols: tuple[str, ...] = ("vip4", "vip6")) -> Iterator[StandIn]:
    """One for the length of the block."""
    bird = StandIn(path, protocols)
    try:
        yield bird
    finally:
        bird.close()
