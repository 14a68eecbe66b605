"""Stands in for bcrypt inside ceph-mgr.

Ceph 18 loads each of its modules in an interpreter of its own, and all of them import bcrypt, whose build in Debian 13
can be loaded only once in a process ("PyO3 modules do not yet support subinterpreters"): no module would load. It is
used for passwords of the dashboard alone, which we do not have.
"""

from __future__ import annotations


def gensalt(rounds: int = 12) -> bytes:
    """Nobody asks; there is no dashboard."""
    raise RuntimeError(f"bcrypt is not available in ceph-mgr ({rounds} rounds asked for)")


def hashpw(password: bytes, salt: bytes) -> bytes:
    """Nobody asks; there is no dashboard."""
    raise RuntimeError(f"bcrypt is not available in ceph-mgr ({len(password)}, {len(salt)} bytes given)")
