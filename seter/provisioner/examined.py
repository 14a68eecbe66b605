"""What `seter doctor` finds at hosts: whether we get there, become root, and find what roles need."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache, partial
from importlib import resources
from typing import Any

from common.errors import BadInput, Denied, Error, Missing
from common.system import Deployment
from seter.finding import Finding, Question, clock, fail, failed, good, space, warn
from seter.provisioner import hosts
from seter.provisioner.interface import Provisioner
from seter.provisioner.ssh import Ssh

WITHIN = timedelta(seconds=20)  # for each of the two calls
SLOW = 3.0  # seconds to log in
BECOME = "sudo"


@cache
def program() -> str:
    """What runs on hosts."""
    return resources.files("seter.provisioner").joinpath("asked.py").read_text(encoding="utf-8")


class Examined(Provisioner):
    """Nodes that are reached by SSH."""

    deployment: Deployment
    _ssh: Ssh

    def examinations(self) -> Mapping[str, Question]:
        """See the interface."""
        return {name: partial(self._examine, name) for name in self._ssh.users}

    def _examine(self, node: str) -> tuple[Finding, ...]:
        return tuple(examine(self._ssh, node, self.deployment))


def examine(ssh: Ssh, node: str, deployment: Deployment) -> Iterator[Finding]:
    """Log in anew, then look as root. What cannot be looked at for want of the one before is left out."""
    try:
        yield login(node, ssh.users[node], ssh.reach(node, WITHIN).total_seconds())
    except Error as error:
        yield failed(node, "ssh", error)
        return
    try:
        before = time.time()
        result = ssh.call(node, program(), (), within=WITHIN)
        after = time.time()
    except Denied as error:
        yield failed(node, BECOME, error)
        return
    except Missing as error:
        yield failed(node, "python3", error)
        return
    except Error as error:
        yield failed(node, "ssh", error)
        return
    try:
        said = dict(json.loads(result.stdout))
    except ValueError:
        last = (result.stderr.strip() or "it printed nothing").splitlines()[-1]
        yield fail(node, "python3", last, "Mend Python there: apt-get install --reinstall python3-minimal.")
        return
    yield from findings(node, said, deployment, before, after)


def login(node: str, user: str, seconds: float) -> Finding:
    """How long a login took, with nothing that was open before. Pure."""
    says = f"logged in as {user} within {seconds:.1f} s"
    if seconds < SLOW:
        return good(node, "ssh", says)
    return warn(node, "ssh", says, "See UseDNS and GSSAPIAuthentication of its sshd, and the way there.")


def findings(
    node: str, said: Mapping[str, Any], deployment: Deployment, before: float, after: float
) -> Iterator[Finding]:
    """What a host said, between these two moments of our clock (seconds since 1970). Pure."""
    yield good(node, BECOME, "becomes root")
    yield good(node, "python3", str(said["python"]))
    try:
        hosts.refuse_unfit(node, said)
        yield good(node, "release", " ".join(hosts.RELEASE))
    except BadInput as unfit:
        yield failed(node, "release", unfit)
    yield clock(node, said["clock"] - (before + after) / 2, (after - before) / 2)
    for path, (free, inodes) in said["spaces"].items():
        yield space(node, path, free, inodes)
    owner = said["mark"].get("deployment")
    if owner == str(deployment):
        yield good(node, "mark", "is ours")
    elif owner:
        fix = "Take it out of one of the two targets, destroy that deployment, or adopt the host."
        yield fail(node, "mark", f"belongs to the deployment {owner}", fix)
