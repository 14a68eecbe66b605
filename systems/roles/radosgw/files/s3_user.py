#!/usr/bin/python3
"""Makes the S3 user of the deployment, or gives it its keys back: `s3-user /etc/seter/now/radosgw/ceph.conf`.

The keys are in files of the role's secrets and go to radosgw-admin on its standard input, never in an argument. The
last line printed is `changed` or `unchanged`. Exit codes: 0; 1 when it failed and a later try may help; 2 wrong usage.
"""

from __future__ import annotations

import configparser
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SECRETS = Path("/etc/seter/secrets/radosgw")
USER = "seter"
DISPLAY_NAME = "Made by seter for this deployment"
TIMEOUT = 120  # seconds; the first use of an empty cluster makes pools
NO_ENTITY = 2  # what radosgw-admin returns for a user that is not there (ENOENT)


class Failed(Exception):
    """radosgw-admin failed; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Who:
    """The name that the gateway itself has in the cluster, and the tenant of the user, which may be none."""

    client: str = "client.rgw"
    tenant: str = ""

    @classmethod
    def read(cls, conf: Path) -> Who:
        """As ceph.conf says. Raises ValueError."""
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(conf.read_text(encoding="utf-8"))
            return cls(parser["launch"]["client"], parser["launch"].get("tenant", ""))
        except (KeyError, configparser.Error) as error:
            raise ValueError(f"{conf} is not a ceph.conf that seter made: {error}") from error

    @property
    def user(self) -> str:
        """The user, as RadosGW writes it."""
        return f"{self.tenant}${USER}" if self.tenant else USER


def admin_argv(conf: Path, who: Who, *command: str) -> list[str]:
    """radosgw-admin with the name and key that the gateway itself has."""
    return ["radosgw-admin", "-c", str(conf), "-n", who.client, "--admin-socket=", *command]


def admin(argv: Sequence[str], text: str = "") -> tuple[int, str]:
    """Run it with this on its standard input; exit code and output. Raises Failed."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(argv)} took longer than {TIMEOUT} s; is the storage cluster up?") from error
    if done.returncode not in (0, NO_ENTITY):
        raise Failed(f"{' '.join(argv)}: {done.stderr.strip()[-500:]}")
    return done.returncode, done.stdout


def has_keys(user: Mapping[str, Any], access: str, secret: str) -> bool:
    """Whether the user has exactly this pair of keys."""
    return [(key["access_key"], key["secret_key"]) for key in user.get("keys", [])] == [(access, secret)]


def with_keys(entry: Mapping[str, Any], access: str, secret: str) -> dict[str, Any]:
    """A user's metadata with this pair of keys in place of those it has."""
    keys = [{"user": entry["data"]["user_id"], "access_key": access, "secret_key": secret}]
    return {**entry, "data": {**entry["data"], "keys": keys}}


def new_entry(user: str, access: str, secret: str) -> dict[str, Any]:
    """Metadata of a user that is not there yet."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fresh = {
        "user_id": user,
        "display_name": DISPLAY_NAME,
        "suspended": 0,
        "max_buckets": 1000,
        "op_mask": "read, write, delete",  # without it the user may do nothing
        "type": "rgw",
    }
    entry = {"key": f"user:{user}", "ver": {"tag": "seter", "ver": 1}, "mtime": now, "data": fresh}
    return with_keys(entry, access, secret)


def ensure(conf: Path, who: Who, access: str, secret: str) -> bool:
    """Make the user as it must be; whether anything was changed. Raises Failed."""
    key = f"user:{who.user}"
    code, out = admin(admin_argv(conf, who, "metadata", "get", key))
    entry: dict[str, Any] = json.loads(out) if code == 0 else {}
    if entry and has_keys(entry["data"], access, secret):
        return False
    wanted = with_keys(entry, access, secret) if entry else new_entry(who.user, access, secret)
    admin(admin_argv(conf, who, "metadata", "put", key), json.dumps(wanted))
    code, out = admin(admin_argv(conf, who, "metadata", "get", key))
    if code or not has_keys(json.loads(out)["data"], access, secret):
        raise Failed("the user has not the keys that were given to it")
    return True


def become(user: str) -> None:
    """Go on as this user when we are root: in a container root may not read what belongs to others."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def main(arguments: Sequence[str]) -> int:
    """Read the keys, make the user."""
    if len(arguments) != 1:
        print("usage: s3-user CEPH.CONF", file=sys.stderr)
        return 2
    try:
        become("ceph")
        access, secret = ((SECRETS / name).read_text().strip() for name in ("s3-access-key", "s3-secret-key"))
        conf = Path(arguments[0])
        changed = ensure(conf, Who.read(conf), access, secret)
    except (Failed, OSError, ValueError) as error:
        print(f"s3-user: {error}", file=sys.stderr)
        return 1
    print("changed" if changed else "unchanged")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
