"""Members of etcd from the role's image, with its launcher and its templates, in a network of their own.

What a deployment can only be asked to show by breaking it for all others is shown on these.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import ssl
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from jinja2 import Environment, FileSystemLoader

from naust.content.engine import load
from naust.listing import resolve
from naust.store import open_store
from seter.certificates import Pair, make_authority, make_certificate
from tests.conftest import ROOT

UID = 952
POOL = IPv4Network("10.213.0.0/16")
ROLE = ROOT / "systems" / "roles" / "etcd"
SECRETS = "/etc/seter/secrets/etcd"
CLIENT = (
    "etcdctl", "--endpoints=https://127.0.0.1:2379", f"--cacert={SECRETS}/ca.crt", f"--cert={SECRETS}/member.crt",
    f"--key={SECRETS}/member.key",
)  # fmt: skip


def docker(*argv: str, data: bytes | None = None, check: bool = True) -> str:
    ended = subprocess.run(["docker", *argv], input=data, capture_output=True, timeout=120)
    assert not check or ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode().strip()


@dataclass
class Etcds:
    """Members by name with their addresses. None runs before it is started."""

    image: str
    network: str
    prefix: IPv4Network
    quota: int
    authority: Pair = field(default_factory=lambda: make_authority("lab"))
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._context = ssl.create_default_context(cadata=self.authority.certificate)
        pair = make_certificate(self.authority, "lab", ["lab"])
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(pair.certificate + pair.key)
            file.flush()
            self._context.load_cert_chain(file.name)

    def address(self, number: int) -> str:
        return str(self.prefix[10 + number])

    def container(self, number: int) -> str:
        return f"{self.network}.m{number}"

    def make(self, number: int, members: int) -> None:
        """A member that knows this many, from 1, and has no data; it does not run yet."""
        name = self.container(number)
        docker(
            "create", "--name", name, "--network", self.network, "--ip", self.address(number), "--user", str(UID),
            "--cap-drop", "ALL", "--restart", "always", "--entrypoint", "tini", self.image,
            "--", "/usr/local/lib/seter/etcd-launch", "run",
        )  # fmt: skip
        self.made.append(name)
        self.tell(number, members)

    def tell(self, number: int, members: int) -> None:
        """Other files: this many members."""
        docker("cp", "-", f"{self.container(number)}:/", data=self._tree(number, members))

    def start(self, *numbers: int) -> None:
        docker("start", *(self.container(number) for number in numbers))

    def stop(self, *numbers: int) -> None:
        docker("stop", "--time", "5", *(self.container(number) for number in numbers))

    def lose(self, number: int, members: int) -> None:
        """The machine is replaced by an empty one of the same name and address; it does not run yet."""
        docker("rm", "--force", "--volumes", self.container(number))
        self.make(number, members)

    def run(self, number: int, *argv: str, check: bool = True) -> str:
        return docker("exec", self.container(number), *argv, check=check)

    def ctl(self, number: int, *argv: str, check: bool = True) -> str:
        return self.run(number, *CLIENT, *argv, check=check)

    @staticmethod
    def client() -> tuple[str, ...]:
        return CLIENT

    def program(self, number: int, name: str, *words: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.run(number, f"/usr/local/lib/seter/{name}", *words, check=False) or "{}")
        return told

    def log(self, number: int) -> str:
        ended = subprocess.run(["docker", "logs", self.container(number)], capture_output=True, text=True, timeout=60)
        return ended.stdout + ended.stderr

    def call(self, number: int, path: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """One call of a member's JSON gateway, from here, which is much quicker than a program in the container."""
        connection = http.client.HTTPSConnection(self.address(number), 2379, context=self._context, timeout=5)
        try:
            connection.request("POST", path, json.dumps(request))
            answer = connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read())
            return found if answer.status == 200 else {"refused": found}
        except (OSError, ValueError, http.client.HTTPException) as error:
            return {"refused": str(error)}
        finally:
            connection.close()

    def first_line(
        self, number: int, path: str, request: Mapping[str, Any], wanted: Callable[[str], bool]
    ) -> dict[str, Any]:
        """The first line of a stream that is wanted."""
        connection = http.client.HTTPSConnection(self.address(number), 2379, context=self._context, timeout=10)
        try:
            connection.request("POST", path, json.dumps(request))
            answer = connection.getresponse()
            while not wanted(line := answer.readline().decode()):
                assert line, "the stream ended"
            found: dict[str, Any] = json.loads(line)
            return found
        finally:
            connection.close()

    def put(self, number: int, key: str, value: str = "x") -> bool:
        return "refused" not in self.call(number, "/v3/kv/put", {"key": b64(key), "value": b64(value)})

    def keys(self, number: int, prefix: str) -> set[str]:
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self.call(number, "/v3/kv/range", {"key": b64(prefix), "range_end": b64(end), "keys_only": True})
        return {base64.b64decode(one["key"]).decode() for one in found.get("kvs", [])}

    def members(self, number: int) -> list[dict[str, Any]]:
        return list(self.call(number, "/v3/cluster/member/list", {"linearizable": True}).get("members", []))

    def good(self, *numbers: int) -> bool:
        """Whether these members, and no others, are the cluster, vote, and each answers with what all agree on."""
        voters = [one.get("name") for one in self.members(numbers[0]) if not one.get("isLearner")]
        return sorted(map(str, voters)) == [f"m{number}" for number in numbers] and all(
            "refused" not in self.call(number, "/v3/kv/range", {"key": b64("none")}) for number in numbers
        )

    def _tree(self, number: int, members: int) -> bytes:
        addresses = {f"m{each}": self.address(each) for each in range(1, members + 1)}
        certificate = make_certificate(self.authority, f"m{number}", [f"m{number}", self.address(number), "127.0.0.1"])
        files = {f"etc/seter/now/etcd/{name}": text for name, text in self._rendered(number, addresses).items()}
        secrets = {
            "ca.crt": self.authority.certificate,
            "member.crt": certificate.certificate,
            "member.key": certificate.key,
        }
        return _tar(files | {f"{SECRETS.lstrip('/')}/{name}": text for name, text in secrets.items()})

    def _rendered(self, number: int, addresses: Mapping[str, str]) -> dict[str, str]:
        environment = Environment(loader=FileSystemLoader(ROLE / "templates"), trim_blocks=True, autoescape=False)
        environment.filters |= {"to_json": json.dumps, "to_uuid": lambda text: uuid.uuid5(uuid.NAMESPACE_DNS, text)}
        name = f"m{number}"
        variables = {
            "node": {"name": name, "address": addresses[name]},
            "deployment": "lab",
            "etcd_members": [{"name": each, "address": address} for each, address in addresses.items()],
            "etcd_heartbeat": 0.1,
            "etcd_election": 1.0,
            "etcd_quota": self.quota,
        }
        return {each: environment.get_template(f"{each}.j2").render(variables) for each in ("etcd.yml", "cluster.json")}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _tar(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        state = tarfile.TarInfo("var/lib/seter/etcd")
        state.type, state.mode, state.uid, state.gid = tarfile.DIRTYPE, 0o750, UID, UID
        tar.addfile(state)
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(text.encode()), 0o400 if "secrets" in name else 0o644, UID
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@contextmanager
def etcds(image: str, quota: int = 64 << 20) -> Iterator[Etcds]:
    """A network for members; all goes afterwards."""
    network = f"etcds-{uuid.uuid4().hex[:8]}"
    prefix = next(each for each in POOL.subnets(new_prefix=24) if _makes(network, each))
    lab = Etcds(image, network, prefix, quota)
    try:
        yield lab
    finally:
        if lab.made:
            docker("rm", "--force", "--volumes", *lab.made, check=False)
        docker("network", "rm", network, check=False)


def _makes(network: str, prefix: IPv4Network) -> bool:
    argv = ["docker", "network", "create", "--subnet", str(prefix), network]
    return subprocess.run(argv, capture_output=True, timeout=60).returncode == 0


def image_of(role: str) -> str:
    """The engine's image of the newest artefact of a role."""
    store = open_store(str(ROOT / ".naust"))
    return str(load(store, resolve(store, f"container/{role}")))
