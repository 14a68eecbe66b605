"""`seter trust`: learn the keys by which hosts show who they are, after a person has compared them.

What was learnt lies in the deployment's folder. Keys that the target pins are not asked for.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.console import Report
from common.errors import BadInput, Unavailable
from common.files import write_atomically
from common.run import run
from common.system import Deployment
from seter.blueprint import no_such, read_blueprint
from seter.keep import open_keep
from seter.provisioner.baremetal import SSH
from seter.provisioner.engine import FOLDER
from seter.provisioner.ssh import JUMP_NAME, Ssh
from seter.provisioner.tunnel import ssh_of
from seter.record import leased

AT_ONCE = 8
ASKING = timedelta(seconds=30)
# Only to see the key: nobody logs in, and what is accepted is written into a file of this call alone.
ONLY_LOOK = (
    "StrictHostKeyChecking=accept-new", "PreferredAuthentications=none", "ControlMaster=no", "ControlPath=none",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostKey:
    """What a host shows. `state` is new, known, or changed: another one was known."""

    host: str
    key: str  # "TYPE KEY"
    fingerprint: str
    state: str


def trust(
    deployment: Deployment,
    systems: Path | None,
    nodes: Sequence[str],
    confirm: Callable[[Sequence[HostKey]], object],
    *,
    state: str | None = None,
    report: Report,
) -> tuple[HostKey, ...]:
    """See what these hosts show, all without names, and remember what is new or has changed once `confirm` returns.

    Raises BadInput for a target without hosts and unknown names, Unavailable naming all that do not answer.
    """
    blueprint = read_blueprint(deployment, systems, state, lenient=True)
    target = blueprint.target
    hosts = [node for node in blueprint.nodes if target.kind_of(node) == "baremetal"]
    engines = [engine for engine in target.engines if engine.url.startswith("ssh:")]
    pinned = {host.name: host.host_key for host in hosts} | {engine.name: engine.host_key for engine in engines}
    if not pinned:
        raise BadInput(f"target {target.name} has no hosts", resolution="Only hosts have keys to be learnt.")
    for name in nodes:
        if name not in pinned:
            raise no_such(f"node {name!r}", name, list(pinned))
    wanted = [name for name in nodes or pinned if not pinned[name]]
    keep = open_keep(deployment, state)
    with leased(keep, "trust", report=report):
        ways = [(Ssh.made(target, hosts, keep.folder / SSH), [node.name for node in hosts])] if hosts else []
        ways += [(ssh_of(each, target, keep.folder / FOLDER / each.name), [each.name]) for each in engines]
        found: list[HostKey] = []
        for ssh, names in ways:
            if target.jump:  # before what lies behind it
                found += _learn(ssh, [JUMP_NAME], confirm)
            found += _learn(ssh, [name for name in names if name in wanted], confirm)
        return tuple(found)


def _learn(ssh: Ssh, names: Sequence[str], confirm: Callable[[Sequence[HostKey]], object]) -> list[HostKey]:
    file = ssh.folder / "known_hosts"
    known = parse(file.read_text()) if file.is_file() else {}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        shown = dict(zip(names, threads.map(lambda name: _shown(ssh, name), names), strict=True))
    if silent := [name for name, key in shown.items() if not key]:
        raise Unavailable(
            f"{', '.join(silent)}: no host key is shown",
            resolution="See that they run and that address, port and jump in the target are right; nothing was learnt.",
        )
    found = [HostKey(name, key, fingerprint(key), _state(known.get(name, ""), key)) for name, key in shown.items()]
    if any(each.state != "known" for each in found):
        confirm(found)
        write_atomically(file, "".join(f"{name} {key}\n" for name, key in sorted((known | shown).items())))
    return found


def _shown(ssh: Ssh, name: str) -> str:
    """The key that the host shows, '' if there is no answer."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "seen"
        options = [f"-o{option}" for option in (*ONLY_LOOK, f"UserKnownHostsFile={file}")]
        run(["ssh", "-F", str(ssh.config), *options, name, "true"], timeout=ASKING, check=False)
        return parse(file.read_text()).get(name, "") if file.is_file() else ""


def parse(text: str) -> dict[str, str]:
    """Name → "TYPE KEY", out of lines of a known_hosts file that we wrote (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: f"{row[1]} {row[2]}" for row in rows if len(row) >= 3 and not row[0].startswith(("#", "@", "|"))}


def fingerprint(key: str) -> str:
    """As `ssh-keygen -l` prints it: SHA-256 of the key, in base64 without padding. Pure."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _state(known: str, key: str) -> str:
    return "known" if known == key else "changed" if known else "new"
