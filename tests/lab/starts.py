"""Every program that a tool starts, counted, and the tool killed as one of them begins.

Programs are found by PATH, in which the folder of the Python that runs comes first. So the tool runs in a Python of its
own, in whose folder scripts stand for all other programs: each takes a number, kills the tool if it is the one, and
becomes what it stands for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.programs import ROOT

# Of the machine; those that are installed beside the tool are all counted.
OTHERS = (
    "docker",
    "git",
    "ip",
    "nsenter",
    "qemu-img",
    "ssh",
    "ssh-keygen",
    "ssh-keyscan",
    "tar",
    "terraform",
    "tofu",
    "zstd",
)
RUNS = "import sys; sys.argv[0] = sys.argv.pop(1); from common import entry; sys.exit(getattr(entry, sys.argv[0])())"
SCRIPT = """\
#!/bin/sh
exec 9>>"{folder}/starts"
flock 9
echo "{name}" >&9
number=$(wc -l <"{folder}/starts")
at=$(cat "{folder}/at" 2>/dev/null)
exec 9>&-
[ "$number" != "$at" ] || kill -KILL "$(cat "{folder}/pid")"
exec "{real}" "$@"
"""


@dataclass(frozen=True)
class Counted:
    """The Python of its own, in this folder."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Counted:
        """Once for a folder."""
        venv = ROOT / ".venv"
        (folder / "bin").mkdir(parents=True)
        shutil.copyfile(venv / "pyvenv.cfg", folder / "pyvenv.cfg")
        (folder / "lib").symlink_to(venv / "lib")
        (folder / "bin" / "python").symlink_to((venv / "bin" / "python").resolve())
        beside = {
            path.name: path for path in (venv / "bin").iterdir() if not path.name.startswith(("python", "activate"))
        }
        others = {name: Path(found) for name in OTHERS if (found := shutil.which(name))}
        for name, real in (others | beside).items():
            script = folder / "bin" / name
            script.write_text(SCRIPT.format(folder=folder, name=name, real=real))
            script.chmod(0o755)
        return cls(folder)

    def run(self, argv: Sequence[str], env: Mapping[str, str], *, killed_at: int = 0) -> tuple[int, list[str], str]:
        """Exit status, programs in the order in which they began, and what it complained of."""
        (self.folder / "starts").write_text("")
        (self.folder / "at").write_text(str(killed_at))
        process = subprocess.Popen(
            [str(self.folder / "bin" / "python"), "-c", RUNS, *argv],
            cwd=ROOT, env=os.environ | env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        (self.folder / "pid").write_text(str(process.pid))
        _, said = process.communicate(timeout=600)
        return process.returncode, (self.folder / "starts").read_text().split(), said
