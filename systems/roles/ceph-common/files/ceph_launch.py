#!/usr/bin/python3
"""Prepares what a Ceph daemon needs and becomes that daemon: `ceph-launch /etc/seter/now/ceph-mon/ceph.conf`.

Every start does the same: keyrings are written anew, and the store is made when it is not there. A store is made under
another name and renamed when it is whole, so a start that was cut off leaves nothing that a later one would trust.
Keys go from files of the role's secrets into files of mode 0600, never into an argument.

Exit codes: that of the daemon; 1 when the preparation failed (the reason is on standard error), 2 for wrong usage.
"""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STATE = Path("/var/lib/seter")
SECRETS = Path("/etc/seter/secrets")
# Debian's build looks for classes of objects below a relative path, "lib/x86_64-linux-gnu/rados-classes", and fails.
CLASSES = "/usr/lib/*/rados-classes"
MONITOR_WAIT = 120  # seconds

# What each name may do: docs.ceph.com, "User management", and `profile` in src/mon/MonCap.cc.
CAPABILITIES: dict[str, tuple[tuple[str, str], ...]] = {
    "mon.": (("mon", "allow *"),),
    "client.admin": (("mds", "allow *"), ("mgr", "allow *"), ("mon", "allow *"), ("osd", "allow *")),
    "client.bootstrap-mgr": (("mon", "allow profile bootstrap-mgr"),),
    "client.bootstrap-osd": (("mon", "allow profile bootstrap-osd"),),
    "client.rgw": (("mon", "allow rw"), ("osd", "allow rwx")),
}
MANAGER_CAPABILITIES = ("mon", "allow profile mgr", "osd", "allow *", "mds", "allow *")
# Whose key each secret of the monitor is.
OWNERS = {
    "ceph-mon-key": "mon.",
    "ceph-admin-key": "client.admin",
    "ceph-mgr-key": "client.bootstrap-mgr",
    "ceph-osd-key": "client.bootstrap-osd",
    "ceph-rgw-key": "client.rgw",
}


class Failed(Exception):
    """The daemon cannot be started; the message says why."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What the section `launch` of ceph.conf says, and where things lie."""

    conf: Path
    role: str
    name: str
    index: int
    fsid: uuid.UUID
    monitors: tuple[tuple[str, str], ...]  # name and address
    client: str = "client.rgw"  # what the cluster knows a gateway by

    @property
    def state(self) -> Path:
        """Folder that outlives the process."""
        return STATE / self.role

    @property
    def data(self) -> Path:
        """The daemon's store."""
        return self.state / "data"

    @property
    def keyring(self) -> Path:
        """What the daemon shows to the cluster."""
        return self.state / "keyring"

    def secret(self, name: str) -> str:
        """The key in the role's secret of this name. Raises Failed."""
        path = SECRETS / self.role / name
        try:
            return path.read_text().strip()
        except OSError as error:
            raise Failed(f"cannot read the key {path}: {error.strerror}") from error


def read_launch(conf: Path) -> Launch:
    """The launch that this ceph.conf describes. Raises Failed."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(conf.read_text())
        launch = parser["launch"]
        pairs = (entry.partition("=") for entry in launch.get("monitors", "").split())
        return Launch(
            conf=conf,
            role=launch["role"],
            name=launch["name"],
            index=int(launch["index"]),
            fsid=uuid.UUID(parser["global"]["fsid"]),
            monitors=tuple((name, address) for name, _, address in pairs),
            client=launch.get("client", "client.rgw"),
        )
    except (OSError, KeyError, ValueError, configparser.Error) as error:
        raise Failed(f"{conf} is not a ceph.conf that seter made: {error}") from error


# What is written and run: pure.


def keyring_entry(entity: str, key: str, caps: Sequence[tuple[str, str]] = ()) -> str:
    """One entity of a keyring file."""
    lines = [f"[{entity}]", f"\tkey = {key}", *(f'\tcaps {service} = "{cap}"' for service, cap in caps)]
    return "\n".join(lines) + "\n"


def monitor_keyring(keys: dict[str, str]) -> str:
    """The keyring that a new monitor starts from; `keys` are by name of secret."""
    return "".join(keyring_entry(OWNERS[name], key, CAPABILITIES[OWNERS[name]]) for name, key in keys.items())


def monitor_map_argv(launch: Launch, target: Path) -> list[str]:
    """The command that writes the first map of the cluster, with all its monitors."""
    argv = ["monmaptool", "--create", "--clobber", "--fsid", str(launch.fsid)]
    for name, address in launch.monitors:
        argv += ["--addv", name, f"[v2:{address}:3300]"]
    return [*argv, str(target)]


def osd_id(launch: Launch) -> int:
    """Number of the OSD: nodes of its group count from 1, OSDs from 0."""
    return launch.index - 1


def osd_uuid(launch: Launch) -> uuid.UUID:
    """Of the OSD on this node of this cluster; the same at every start."""
    return uuid.uuid5(launch.fsid, launch.name)


def daemon_argv(launch: Launch, classes: str = "") -> list[str]:
    """The daemon's own command, in the foreground."""
    common = ["-f", "-c", str(launch.conf)]
    match launch.role:
        case "ceph-mon":
            return ["/usr/bin/ceph-mon", *common, "-i", launch.name]
        case "ceph-mgr":
            return ["/usr/bin/ceph-mgr", *common, "-i", launch.name]
        case "ceph-osd":
            return ["/usr/bin/ceph-osd", *common, "-i", str(osd_id(launch)), f"--osd-class-dir={classes}"]
        case "radosgw":
            return ["/usr/bin/radosgw", *common, "-n", launch.client]
    raise Failed(f"there is no Ceph daemon for the role {launch.role}")


def mkfs_argv(launch: Launch, store: Path) -> list[str]:
    """The command that makes the store of a monitor or an OSD in this folder."""
    if launch.role == "ceph-mon":
        given = ["--monmap", str(launch.state / "monmap"), "--keyring", str(launch.state / "first-keyring")]
        return ["ceph-mon", "--mkfs", "-c", str(launch.conf), "-i", launch.name, "--mon-data", str(store), *given]
    argv = ["ceph-osd", "--mkfs", "-c", str(launch.conf), "-i", str(osd_id(launch)), "--osd-data", str(store)]
    return [*argv, "--osd-uuid", str(osd_uuid(launch)), "--no-mon-config"]


# What acts.


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; whole or not at all."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)


def run(argv: Sequence[str]) -> None:
    """Run a command of Ceph. Raises Failed with what it said last."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        tail = " / ".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise Failed(f"{argv[0]} failed with exit code {done.returncode}: {tail}")


def make_store(launch: Launch) -> None:
    """Make the store unless it is there."""
    if launch.data.is_dir():
        return
    unfinished = launch.data.with_name("data.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    run(mkfs_argv(launch, unfinished))
    unfinished.rename(launch.data)


def ask_monitor(launch: Launch, entity: str, command: dict[str, object], data: str = "") -> str:
    """Send a command to the monitors, as this entity with the keyring in `<state>/<entity>`. Raises Failed."""
    import rados

    settings = {"keyring": str(launch.state / entity), "admin_socket": ""}
    try:
        with rados.Rados(name=entity, conffile=str(launch.conf), conf=settings) as cluster:
            code, out, status = cluster.mon_command(json.dumps(command), data.encode(), timeout=MONITOR_WAIT)
    except rados.Error as error:
        raise Failed(f"the monitors do not answer {entity}: {error}") from error
    if code:
        raise Failed(f"the monitors refused {command['prefix']}: {status} (code {code})")
    return str(out.decode())


def prepare_monitor(launch: Launch) -> None:
    """Make the monitor's store, which holds the first map and the keys of all."""
    keys = {name: launch.secret(name) for name in OWNERS}
    write_private(launch.keyring, monitor_keyring({"ceph-admin-key": keys["ceph-admin-key"]}))
    if launch.data.is_dir():
        return
    first = launch.state / "first-keyring"
    write_private(first, monitor_keyring(keys))
    run(monitor_map_argv(launch, launch.state / "monmap"))
    make_store(launch)
    first.unlink()


def prepare_manager(launch: Launch) -> None:
    """Get the manager's key from the monitors, which make it the first time."""
    entity = "client.bootstrap-mgr"
    write_private(launch.state / entity, keyring_entry(entity, launch.secret("ceph-mgr-key")))
    whom, caps = f"mgr.{launch.name}", list(MANAGER_CAPABILITIES)
    answer = ask_monitor(launch, entity, {"prefix": "auth get-or-create", "entity": whom, "caps": caps})
    write_private(launch.keyring, answer)


def prepare_osd(launch: Launch) -> None:
    """Make the OSD known to the monitors and make its store."""
    entity, key = "client.bootstrap-osd", launch.secret("ceph-osd-key")
    write_private(launch.state / entity, keyring_entry(entity, key))
    write_private(launch.keyring, keyring_entry(f"osd.{osd_id(launch)}", key))
    known: dict[str, object] = {"prefix": "osd new", "uuid": str(osd_uuid(launch)), "id": osd_id(launch)}
    ask_monitor(launch, entity, known, json.dumps({"cephx_secret": key}))
    make_store(launch)


def prepare_gateway(launch: Launch) -> None:
    """Write the key that all gateways share."""
    write_private(launch.keyring, keyring_entry(launch.client, launch.secret("ceph-rgw-key")))


PREPARE = {
    "ceph-mon": prepare_monitor,
    "ceph-mgr": prepare_manager,
    "ceph-osd": prepare_osd,
    "radosgw": prepare_gateway,
}


def class_folder() -> str:
    """Where the classes of objects really are; "" when none are installed."""
    return str(next(iter(Path("/").glob(CLASSES.lstrip("/"))), ""))


def main(arguments: Sequence[str]) -> int:
    """Prepare and become the daemon."""
    if len(arguments) != 1:
        print("usage: ceph-launch CEPH.CONF", file=sys.stderr)
        return 2
    try:
        launch = read_launch(Path(arguments[0]))
        argv = daemon_argv(launch, class_folder())
        PREPARE[launch.role](launch)
    except (Failed, OSError) as error:
        print(f"ceph-launch: {error}", file=sys.stderr)
        return 1
    os.execv(argv[0], argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
