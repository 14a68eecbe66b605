#!/usr/bin/python3
"""Gives BIRD the password of its BGP sessions, and then becomes the command.

    bird-launch SECRET COMMAND...

BIRD knows a password only from its configuration, which is no place for one: others may read that, it is compared and
shown. So SECRET, a file with one line, is written as a constant to a file of BIRD's user alone, which the configuration
includes. What starts BIRD and what makes it read its files again both go through here, so an exchanged password is
taken up.

Exit codes: those of the command; 1 when it cannot be started, 2 for a secret that cannot be used.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

INCLUDED = Path("/run/bird/password.conf")
LONGEST = 80  # bytes that the kernel takes for TCP-MD5 (TCP_MD5SIG_MAXKEYLEN, linux/tcp.h)


def constant(text: str) -> str:
    """The file's content. Raises ValueError for a password that BIRD or the kernel would not take."""
    password = text.strip()
    if not re.fullmatch(r"[!#-[\]-~]+", password) or len(password) > LONGEST:
        raise ValueError(f"it has to be one word of at most {LONGEST} printable characters, no quote or backslash")
    return f'define bgp_password = "{password}";\n'


def write(secret: Path, included: Path) -> None:
    """Readable by nobody else at any time. Raises OSError, ValueError."""
    text = constant(secret.read_text(encoding="ascii"))
    beside = included.with_name(f".{included.name}.{os.getpid()}")
    opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "w", encoding="ascii") as file:
        file.write(text)
    beside.replace(included)


def main(argv: list[str]) -> int:
    """See the top of this file."""
    if len(argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    secret, *command = argv
    try:
        write(Path(secret), INCLUDED)
    except (OSError, ValueError) as fault:
        print(f"bird-launch: {secret} cannot be used: {fault}", file=sys.stderr)
        return 2
    try:
        os.execvp(command[0], command)
    except OSError as fault:
        print(f"bird-launch: {command[0]}: {fault}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
