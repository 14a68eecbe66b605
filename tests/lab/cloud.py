"""A cloud for tests: a small server that answers the calls of OpenStack's API that the provider makes, as the published
API says (docs.openstack.org/api-quick-start), and refuses what is not as it says. It runs nothing.

What was asked for is kept, so that a test can look at it: servers with their ports, volumes and user data, images with
the digest of what was uploaded.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import uuid4

USER, PASSWORD, PROJECT, DOMAIN, REGION = "ops", "wonderland", "lab", "Default", "RegionOne"
FLAVOR = {
    "id": "42",
    "name": "m1.small",
    "ram": 2048,
    "vcpus": 1,
    "disk": 10,
    "OS-FLV-EXT-DATA:ephemeral": 0,
    "swap": "",
}
Thing = dict[str, Any]
KINDS = {  # what each of a service's collections calls its things
    "network": {"networks": "network", "subnets": "subnet", "ports": "port", "routers": "router"},
    "volumev3": {"volumes": "volume"},
    "compute": {"servers": "server", "os-server-groups": "server_group"},
}
NEEDED = {  # required attributes of a request (API reference of Neutron v2.0, Cinder v3, Nova v2.1, Glance v2)
    "network": (), "subnet": ("network_id", "ip_version", "cidr"), "port": ("network_id",), "volume": ("size",),
    "server": ("name", "flavorRef", "networks"), "server_group": ("name",),
}  # fmt: skip


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass
class Cloud:
    """All that there is, by kind and id."""

    port: int = 0
    things: dict[str, dict[str, Thing]] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)  # image → SHA-256 of what was uploaded
    refused: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def all(self, kind: str) -> list[Thing]:
        return list(self.things.get(kind, {}).values())

    def one(self, kind: str, id: str) -> Thing:
        if id not in self.things.get(kind, {}):
            raise Refused(404, f"no {kind} {id}")
        return self.things[kind][id]

    def add(self, kind: str, thing: Thing) -> Thing:
        thing["id"] = str(uuid4())
        self.things.setdefault(kind, {})[thing["id"]] = thing
        return thing

    def clouds(self) -> str:
        """The text of clouds.yaml."""
        auth = {"auth_url": f"http://127.0.0.1:{self.port}/identity/v3", "username": USER, "password": PASSWORD}
        auth |= {"project_name": PROJECT, "user_domain_name": DOMAIN, "project_domain_name": DOMAIN}
        return json.dumps({"clouds": {"lab": {"auth": auth, "region_name": REGION, "identity_api_version": 3}}})

    # keystone

    def token(self, asked: Thing) -> tuple[int, Thing, dict[str, str]]:
        user = asked["auth"]["identity"]["password"]["user"]
        if (user["name"], user["password"]) != (USER, PASSWORD):
            raise Refused(401, "another password")
        token = secrets.token_hex(16)
        self.tokens.add(token)
        ends = {"identity": "/identity/v3", "compute": "/compute/v2.1", "network": "/network", "image": "/image"}
        ends |= {"volumev3": "/volumev3", "block-storage": "/volumev3"}
        catalog = [self._service(kind, path) for kind, path in ends.items()]
        said = {"methods": ["password"], "expires_at": "2099-01-01T00:00:00.000000Z", "catalog": catalog,
                "issued_at": "2026-01-01T00:00:00.000000Z", "roles": [{"id": "1", "name": "member"}],
                "user": {"id": "u", "name": USER, "domain": {"id": "default", "name": DOMAIN}},
                "project": {"id": "p", "name": PROJECT, "domain": {"id": "default", "name": DOMAIN}}}  # fmt: skip
        return 201, {"token": said}, {"X-Subject-Token": token}

    def _service(self, kind: str, path: str) -> Thing:
        url = f"http://127.0.0.1:{self.port}{path}"
        ends = [{"id": uuid4().hex, "interface": "public", "region": REGION, "region_id": REGION, "url": url}]
        return {"type": kind, "name": kind, "id": uuid4().hex, "endpoints": ends}

    # what is made

    def make(self, kind: str, wanted: Thing) -> Thing:
        for name in NEEDED.get(kind, ()):
            if wanted.get(name) in (None, "", []):
                raise Refused(400, f"a {kind} without {name}")
        made = {
            "port": self._port,
            "subnet": self._subnet,
            "server": self._server,
            "volume": self._volume,
            "server_group": self._server_group,
            "network": self._network,
        }
        return made.get(kind, self._plain)(kind, wanted)

    def _plain(self, kind: str, wanted: Thing) -> Thing:
        return self.add(kind, dict(wanted))

    def _network(self, kind: str, wanted: Thing) -> Thing:
        return self.add(kind, {"status": "ACTIVE", "subnets": [], "mtu": 1450, "tags": [], "shared": False, **wanted})

    def _subnet(self, kind: str, wanted: Thing) -> Thing:
        self.one("network", wanted["network_id"])
        whole = ip_network(wanted["cidr"])
        if whole.version != wanted["ip_version"]:
            raise Refused(400, "a prefix of the other family")
        if wanted.get("gateway_ip") and ip_address(wanted["gateway_ip"]) not in whole:
            raise Refused(400, "a gateway outside of the subnet")
        return self.add(kind, {"allocation_pools": [], "dns_nameservers": [], "host_routes": [], "tags": [], **wanted})

    def _port(self, kind: str, wanted: Thing) -> Thing:
        self.one("network", wanted["network_id"])
        for fixed in wanted.get("fixed_ips", []):
            subnet = self.one("subnet", fixed["subnet_id"])
            taken = {each["ip_address"] for port in self.all("port") for each in port["fixed_ips"]}
            if ip_address(fixed["ip_address"]) not in ip_network(subnet["cidr"]) or fixed["ip_address"] in taken:
                raise Refused(409, f"{fixed['ip_address']} cannot be had")
        for pair in wanted.get("allowed_address_pairs", []):
            ip_network(pair["ip_address"])
        given = {"status": "DOWN", "device_id": "", "device_owner": "", "security_groups": [], "tags": []}
        return self.add(kind, {**given, "fixed_ips": [], "allowed_address_pairs": [], **wanted})

    def _volume(self, kind: str, wanted: Thing) -> Thing:
        given = {"status": "available", "attachments": [], "metadata": {}, "availability_zone": "nova"}
        given |= {"volume_type": "lab", "bootable": "false", "created_at": "2026-01-01T00:00:00.000000"}
        return self.add(kind, {**given, **wanted})

    def _server_group(self, kind: str, wanted: Thing) -> Thing:
        asked = [wanted["policy"]] if "policy" in wanted else wanted.get("policies", [])  # since microversion 2.64
        if not asked or set(asked) - {"anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity"}:
            raise Refused(400, f"no such policy: {asked}")
        return self.add(kind, {"members": [], "metadata": {}, **wanted})

    def _server(self, kind: str, wanted: Thing) -> Thing:
        if wanted["flavorRef"] != FLAVOR["id"]:
            raise Refused(400, "no such flavor")
        if len(base64.b64decode(wanted.get("user_data", ""), validate=True)) > 65535:
            raise Refused(400, "too much user data")
        addresses: dict[str, list[Thing]] = {}
        server = self.add(kind, {"status": "ACTIVE", "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:power_state": 1,
            "metadata": {}, "flavor": {"id": FLAVOR["id"]}, "created": "2026-01-01T00:00:00Z",
            "updated": "2026-01-01T00:00:00Z", "addresses": addresses, "security_groups": [], "tags": [],
            "OS-EXT-AZ:availability_zone": "nova", "os-extended-volumes:volumes_attached": [], **wanted})  # fmt: skip
        for network in wanted["networks"]:
            port = self.one("port", network["port"])
            if port["device_id"]:
                raise Refused(409, "the port is another server's")
            port |= {"device_id": server["id"], "device_owner": "compute:nova", "status": "ACTIVE"}
            name = self.one("network", port["network_id"])["name"]
            more = {"OS-EXT-IPS-MAC:mac_addr": port["mac_address"], "OS-EXT-IPS:type": "fixed"}
            texts = [each["ip_address"] for each in port["fixed_ips"]]
            addresses[name] = [{"addr": text, "version": ip_address(text).version, **more} for text in texts]
        for disk in wanted.get("block_device_mapping_v2", []):
            self.one(disk["source_type"], disk["uuid"])
            if disk["source_type"] == "volume":
                self.one("volume", disk["uuid"])["status"] = "in-use"
                server["os-extended-volumes:volumes_attached"].append({"id": disk["uuid"]})
        return server

    def remove(self, kind: str, id: str) -> None:
        thing = self.one(kind, id)
        if kind == "server":
            for port in self.all("port"):
                if port["device_id"] == id:
                    port |= {"device_id": "", "device_owner": "", "status": "DOWN"}
            for volume in thing["os-extended-volumes:volumes_attached"]:
                self.one("volume", volume["id"])["status"] = "available"
        if kind == "port" and thing["device_id"]:
            raise Refused(409, "the port is in use")
        if kind == "volume" and thing["status"] == "in-use":
            raise Refused(400, "the volume is in use")
        if kind == "network" and [each for each in self.all("port") if each["network_id"] == id]:
            raise Refused(409, "the network has ports")
        if kind == "network":
            for subnet in [each["id"] for each in self.all("subnet") if each["network_id"] == id]:
                del self.things["subnet"][subnet]
        del self.things[kind][id]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, cloud: Cloud, *more: Any) -> None:
        self._cloud = cloud
        super().__init__(*more)

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self) -> None:
        data = self._body()
        path, _, query = self.path.partition("?")
        headers: dict[str, str] = {}
        with self._cloud.turn:
            self._cloud.calls.append(f"{self.command} {path}")
            try:
                code, body, headers = self._route(path, query, data)
            except Refused as refused:
                self._cloud.refused.append(f"{self.command} {path}: {refused.code} {refused}")
                code, body = refused.code, {"error": {"code": refused.code, "message": str(refused)}}
        sent = json.dumps(body).encode() if body is not None else b""
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(sent)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _route(self, path: str, query: str, data: bytes) -> tuple[int, Any, dict[str, str]]:
        cloud, method = self._cloud, self.command
        if path == "/identity/v3/auth/tokens" and method == "POST":
            return cloud.token(json.loads(data))
        if path.rstrip("/") in ("/identity/v3", "/compute/v2.1", "/volumev3", "/network", "/image"):
            return 200, {"version": {"id": "v3", "status": "CURRENT", "version": "2.96", "min_version": "2.1"}}, {}
        if self.headers.get("X-Auth-Token", "") not in cloud.tokens:
            raise Refused(401, "no token")
        service, _, rest = path.strip("/").partition("/")
        rest = re.sub(r"^v2\.[01]/|^v2/|^v3/", "", rest)
        words = rest.split("/")
        routes: dict[str, Callable[[list[str], str, str, bytes], tuple[int, Any]]] = {
            "image": self._image, "network": self._things, "compute": self._compute, "volumev3": self._things,
        }  # fmt: skip
        return *routes[service](words, method, service, data), {}

    def _things(self, words: list[str], method: str, service: str, data: bytes) -> tuple[int, Any]:
        cloud, kinds = self._cloud, KINDS[service]
        if words[-1] == "detail" and method == "GET":
            words = words[:-1]
        if words[0] not in kinds:
            raise Refused(404, f"no such call: {method} {'/'.join(words)}")
        many, kind = words[0], kinds[words[0]]
        if len(words) == 1 and method == "POST":
            return (202 if kind == "volume" else 201), {kind: cloud.make(kind, json.loads(data)[kind])}
        if len(words) == 1:
            return 200, {many: cloud.all(kind)}
        if len(words) == 3 and words[2] == "tags":
            if method == "PUT":
                cloud.one(kind, words[1])["tags"] = json.loads(data)["tags"]
            return 200, {"tags": cloud.one(kind, words[1])["tags"]}
        if method == "DELETE":
            cloud.remove(kind, words[1])
            return (202 if kind == "volume" else 204), None
        if method == "PUT":
            cloud.one(kind, words[1]).update(json.loads(data)[kind])
        return 200, {kind: cloud.one(kind, words[1])}

    def _compute(self, words: list[str], method: str, service: str, data: bytes) -> tuple[int, Any]:
        cloud = self._cloud
        if words[0] == "flavors":
            found = [FLAVOR] if words[-1] in ("flavors", "detail") else FLAVOR
            if words[-1] == "os-extra_specs":
                return 200, {"extra_specs": {}}
            return 200, {"flavors": found} if isinstance(found, list) else {"flavor": found}
        if words[0] == "os-server-groups" and method == "POST":
            return 200, {"server_group": cloud.make("server_group", json.loads(data)["server_group"])}
        if words[0] == "servers" and method == "POST" and len(words) == 1:
            asked = json.loads(data)
            hints = asked.get("os:scheduler_hints") or asked.get("OS-SCH-HNT:scheduler_hints") or {}
            if hints:
                cloud.one("server_group", hints["group"])
            made = cloud.make("server", asked["server"] | {"hints": hints})
            return 202, {"server": {"id": made["id"], "links": [], "adminPass": "none", "security_groups": []}}
        if len(words) == 3 and words[2] == "action":
            server, action = cloud.one("server", words[1]), json.loads(data)
            if set(action) == {"os-stop"}:
                server |= {"status": "SHUTOFF", "OS-EXT-STS:vm_state": "stopped", "OS-EXT-STS:power_state": 4}
            elif set(action) == {"os-start"}:
                server |= {"status": "ACTIVE", "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:power_state": 1}
            else:
                raise Refused(400, f"no such action: {action}")
            return 202, None
        if len(words) == 3 and words[2] == "os-interface":
            ports = [port for port in cloud.all("port") if port["device_id"] == words[1]]
            rows = [{"port_id": each["id"], "net_id": each["network_id"], "mac_addr": each["mac_address"],
                     "port_state": "ACTIVE", "fixed_ips": each["fixed_ips"]} for each in ports]  # fmt: skip
            return 200, {"interfaceAttachments": rows}
        if len(words) == 3 and words[2] == "os-volume_attachments":
            ids = cloud.one("server", words[1])["os-extended-volumes:volumes_attached"]
            rows = [{"id": each["id"], "volumeId": each["id"], "serverId": words[1]} for each in ids]
            return 200, {"volumeAttachments": rows}
        return self._things(words, method, service, data)

    def _image(self, words: list[str], method: str, service: str, data: bytes) -> tuple[int, Any]:
        cloud = self._cloud
        if words[0] != "images":
            raise Refused(404, f"no such call: {method} {'/'.join(words)}")
        if len(words) == 1 and method == "POST":
            asked = json.loads(data)
            if not asked.get("name") or asked.get("container_format") != "bare" or asked.get("disk_format") != "qcow2":
                raise Refused(400, "an image without name or formats")
            given = {"status": "queued", "size": None, "checksum": None, "tags": [], "owner": "p", "protected": False,
                     "min_disk": 0, "min_ram": 0, "created_at": "2026-01-01T00:00:00Z", "file": "", "schema": "",
                     "updated_at": "2026-01-01T00:00:00Z", "visibility": "shared"}  # fmt: skip
            return 201, cloud.add("image", {**given, **asked})
        if len(words) == 1:
            return 200, {"images": cloud.all("image")}
        image = cloud.one("image", words[1])
        if len(words) == 3 and words[2] == "file" and method == "PUT":
            image |= {"status": "active", "size": len(data), "checksum": hashlib.md5(data).hexdigest()}
            cloud.uploads[image["id"]] = hashlib.sha256(data).hexdigest()
            return 204, None
        if method == "DELETE":
            cloud.remove("image", words[1])
            return 204, None
        return 200, image

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def cloud() -> Iterator[Cloud]:
    """It answers while the block runs."""
    made = Cloud()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, made))
    server.daemon_threads = True
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
