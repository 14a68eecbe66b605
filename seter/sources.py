"""Where nodes come from that no definition names: programs are asked, and what they gave last is remembered.

What changes a deployment needs an answer of now. What only looks goes on with the last one where there is none, and
says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.console import Report
from common.errors import BadInput, Error, NotFound
from common.files import write_atomically
from common.given_nodes import LONGEST, blocks_of
from common.hcl import Block
from common.model import Event
from common.run import environment, find, run
from common.system import Source
from common.values import Wrong

FILE = "nodes.json"
FORMAT = 1
TERRAFORMS = ("terraform", "tofu")


@dataclass(frozen=True)
class Sources:
    """Of one deployment. `folder` is its own, `systems` that of the target's file, which paths are relative to. With
    `lenient` the last answer is as good as a new one that cannot be had."""

    folder: Path
    relative_to: Path
    report: Report
    lenient: bool = False

    def __call__(self, source: Source) -> Sequence[Block]:
        """The nodes of one block. Raises Error for a program that fails, BadInput for what it must not say."""
        what = f"nodes_from {source.group}"
        last = self._last().get(source.group)
        try:
            text = self._text(source)
            found = _read(text, what, source.output)
            if not found and last is not None and _read(last["text"], what, last["output"]) and not source.may_be_empty:
                raise BadInput(
                    f"{what} gives no nodes, and gave some on {last['when']}",
                    resolution="if that is meant, add may_be_empty = true",
                )
        except Error as error:
            if not self.lenient or last is None:
                raise
            self.report(Event("earlier", what, f"as of {last['when']}, since now: {error.message}"))
            return _read(last["text"], what, last["output"])
        self._keep(source, text)
        return found

    def _text(self, source: Source) -> str:
        if source.file:
            return self._file(self._path(source.file))
        if source.terraform:
            program = next((name for name in TERRAFORMS if _is_there(name)), TERRAFORMS[0])
            argv = [program, f"-chdir={self._path(source.terraform)}", "output", "-json", "-no-color"]
            return run(argv, env=environment({"TF_INPUT": "0"}), timeout=source.within).stdout
        return run(source.command, cwd=self.relative_to, timeout=source.within).stdout

    def _path(self, text: str) -> Path:
        return (self.relative_to / Path(text).expanduser()).resolve()

    @staticmethod
    def _file(path: Path) -> str:
        try:
            with path.open(encoding="utf-8") as file:
                return file.read(LONGEST + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise NotFound(f"{path} cannot be read: {error}", resolution="write it, or name another") from error

    def _last(self) -> dict[str, Any]:
        """Group → what was given last. Damaged, it is as if there were none."""
        try:
            said = json.loads((self.folder / FILE).read_text(encoding="utf-8"))
            return dict(said["groups"]) if said["format"] == FORMAT else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _keep(self, source: Source, text: str) -> None:
        last = self._last()
        if last.get(source.group, {}).get("text") != text and not self.lenient:
            when = datetime.now(UTC).isoformat(timespec="seconds")
            groups = last | {source.group: {"when": when, "output": source.output, "text": text}}
            write_atomically(self.folder / FILE, json.dumps({"format": FORMAT, "groups": groups}), mode=0o600)


def _is_there(program: str) -> bool:
    try:
        find(program)
    except Error:
        return False
    return True


def _read(text: str, what: str, output: str) -> tuple[Block, ...]:
    try:
        return blocks_of(text, what, output)
    except Wrong as wrong:
        raise BadInput(f"{what}: {wrong.message}", resolution=wrong.fix) from wrong
