"""Where providers come from: registries, and network mirrors.

Provider registry protocol: https://developer.hashicorp.com/terraform/internals/provider-registry-protocol; service
discovery: …/internals/remote-service-discovery; mirrors: …/internals/provider-network-mirror-protocol. What a registry
says is believed as far as Terraform believes it: the checksums are those that the release's own file of them states,
and where that is signed, by a key that the registry names.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from common.errors import BadInput, Corrupt, NotFound
from common.model import Digest, Secret
from naust.wire.connections import Origin
from naust.wire.transport import Transport, bearer, shown

DEFAULT_HOST = "registry.terraform.io"
_LARGEST = 8 << 20  # bytes of an answer
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[0-9]{1,5})?")
_PART = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_VERSION = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}(?:-[0-9A-Za-z.-]{1,100})?(?:\+[0-9A-Za-z.-]{1,100})?")
_PLATFORM = re.compile(r"[a-z0-9]{1,32}_[a-z0-9]{1,32}")
_ZIP_HASH = re.compile(r"zh:([0-9a-f]{64})")
_TREE_HASH = re.compile(r"h1:[A-Za-z0-9+/]{43}=")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A provider's name in full."""

    host: str
    namespace: str
    type: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `NAMESPACE/TYPE` or `HOST/NAMESPACE/TYPE`; letters become small, as Terraform does it. Raises
        BadInput."""
        parts = text.lower().split("/")
        host, *rest = parts if len(parts) == 3 else (DEFAULT_HOST, *parts)
        if len(rest) != 2 or not _HOST.fullmatch(host) or not all(map(_PART.fullmatch, rest)):
            raise BadInput(f"{text!r} names no provider", resolution="Write NAMESPACE/TYPE or HOST/NAMESPACE/TYPE.")
        return cls(host, *rest)

    def __str__(self) -> str:
        """As people write it."""
        return self.path.removeprefix(f"{DEFAULT_HOST}/")

    @property
    def path(self) -> str:
        """As mirrors have it."""
        return f"{self.host}/{self.namespace}/{self.type}"


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """One package: a provider in a version for a platform."""

    address: Address
    version: str
    platform: str

    def __str__(self) -> str:
        return f"{self.address} {self.version} for {self.platform}"

    @property
    def file_name(self) -> str:
        """As releases, and mirrors in folders, call it."""
        return f"terraform-provider-{self.address.type}_{self.version}_{self.platform}.zip"

    @property
    def path(self) -> str:
        """Where it lies in the mirror."""
        return f"{self.address.path}/{self.file_name}"


@dataclass(frozen=True, slots=True)
class Found:
    """Where a package is, and what it has to be. `tree` is `h1:` hashes that upstream states. `proofs` are files that
    show it, by name: checksums, signature, key."""

    url: str
    digest: Digest | None
    tree: tuple[str, ...] = ()
    proofs: Mapping[str, bytes] = field(default_factory=dict)


def check_wanted(version: str, platform: str) -> None:
    """Raises BadInput for what is no version or no platform."""
    if not _VERSION.fullmatch(version):
        raise BadInput(f"{version!r} is no version of a provider", resolution="Write one such as 3.2.4.")
    if not _PLATFORM.fullmatch(platform):
        raise BadInput(f"{platform!r} is no platform", resolution="Write one such as linux_amd64.")


def of_file_name(address: Address, name: str) -> Wanted | None:
    """The package that a file of this name is; None if it is none of this provider."""
    found = re.fullmatch(rf"terraform-provider-{re.escape(address.type)}_([^_/]+)_([a-z0-9]+_[a-z0-9]+)\.zip", name)
    if found is None or not _VERSION.fullmatch(found[1]) or not _PLATFORM.fullmatch(found[2]):
        return None
    return Wanted(address, found[1], found[2])


class Registry:
    """Any provider registry; which one, a provider's name says. Any number of threads may use one."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._bases: dict[str, str] = {}
        self._proofs: dict[tuple[str, str], Mapping[str, bytes]] = {}
        self._lock = threading.Lock()

    def find(self, wanted: Wanted) -> Found:
        """Where the package is. Raises NotFound; Corrupt if checksums or a signature are wrong."""
        address = wanted.address
        system, _, machine = wanted.platform.partition("_")
        path = f"{address.namespace}/{address.type}/{quote(wanted.version)}/download/{system}/{machine}"
        url = urljoin(self._base(address.host), path)
        said = self._json(url, address.host)
        target = _url(said, "download_url", url)
        digest = _sha256(str(said.get("shasum", "")), url)
        proofs = self._proven(said, url)
        if proofs:
            _check_listed(wanted, str(said.get("filename", "")), digest, proofs)
        return Found(target, digest, proofs=proofs)

    def _base(self, host: str) -> str:
        with self._lock:
            if host not in self._bases:
                url = f"https://{host}/.well-known/terraform.json"
                services = self._json(url, host)
                if not isinstance(services.get("providers.v1"), str):
                    raise NotFound(f"{host} is no registry of providers", resolution="See the provider's name.")
                self._bases[host] = urljoin(url, f"{str(services['providers.v1']).rstrip('/')}/")
            return self._bases[host]

    def _json(self, url: str, host: str) -> Mapping[str, object]:
        token = _token(host) if Origin.of(url) == Origin.of(f"https://{host}") else None
        with self._transport.request("GET", url, credential=bearer(token) if token else None) as answer:
            return _mapping(answer.json(_LARGEST), url)

    def _proven(self, said: Mapping[str, object], base: str) -> Mapping[str, bytes]:
        """The release's checksums, checked against their signature; nothing if the registry has none. The platforms of
        a version share them."""
        if not said.get("shasums_url"):
            return {}
        sums, signature = _url(said, "shasums_url", base), ""
        if said.get("shasums_signature_url"):
            signature = _url(said, "shasums_signature_url", base)
        with self._lock:
            if (sums, signature) not in self._proofs:
                self._proofs[sums, signature] = self._proof(said, sums, signature)
            return self._proofs[sums, signature]

    def _proof(self, said: Mapping[str, object], sums: str, signature: str) -> Mapping[str, bytes]:
        proofs = {"SHA256SUMS": self._bytes(sums)}
        if signature:
            proofs |= {"SHA256SUMS.sig": self._bytes(signature), "key.asc": _keys(said, sums)}
            _check_signature(proofs, sums)
        return proofs

    def _bytes(self, url: str) -> bytes:
        with self._transport.request("GET", url) as answer:
            return answer.content(_LARGEST)


class Mirror:
    """A network mirror at a URL."""

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport, self._url = transport, f"{url.rstrip('/')}/"

    def find(self, wanted: Wanted) -> Found:
        """Where the package is. Raises NotFound, Corrupt."""
        url = urljoin(self._url, f"{quote(wanted.address.path, safe='/:')}/{quote(wanted.version)}.json")
        with self._transport.request("GET", url) as answer:
            archives = _mapping(_mapping(answer.json(_LARGEST), url).get("archives"), url)
        if wanted.platform not in archives:
            raise NotFound(
                f"{shown(url)} has nothing for {wanted.platform}",
                details=f"It has {', '.join(sorted(map(str, archives)))[:300] or 'no platform at all'}.",
                resolution="See `platforms` of the provider.",
            )
        said = _mapping(archives[wanted.platform], url)
        listed = said.get("hashes")
        hashes = [str(each) for each in listed] if isinstance(listed, list) else []
        zips = [found[1] for each in hashes if (found := _ZIP_HASH.fullmatch(each))]
        tree = tuple(each for each in hashes if _TREE_HASH.fullmatch(each))
        return Found(_url(said, "url", url), Digest("sha256", zips[0]) if zips else None, tree)


# What they say --------------------------------------------------------------------------------------------------------


def _mapping(said: object, url: str) -> Mapping[str, object]:
    if not isinstance(said, dict):
        raise Corrupt(f"{shown(url)} does not speak the protocol", resolution="See that the URL is right.")
    return said


def _url(said: Mapping[str, object], key: str, base: str) -> str:
    """A URL of the answer, which may be relative. Raises Corrupt."""
    try:
        target = urljoin(base, str(said[key]))
        parts = urlsplit(target)
        if parts.scheme in ("http", "https") and parts.hostname and target.isprintable():
            return target
    except (KeyError, ValueError):
        pass
    raise Corrupt(f"{shown(base)} gives no {key} that can be followed", resolution="Tell whoever runs it.")


def _sha256(text: str, url: str) -> Digest:
    try:
        return Digest.parse(f"sha256:{text.lower()}")
    except BadInput as error:
        raise Corrupt(f"{shown(url)} gives {text[:80]!r} as shasum", resolution="Tell whoever runs it.") from error


def _check_listed(wanted: Wanted, name: str, digest: Digest, proofs: Mapping[str, bytes]) -> None:
    lines = (line.split() for line in proofs["SHA256SUMS"].decode("utf-8", "replace").splitlines())
    listed = {words[1].removeprefix("*"): words[0].lower() for words in lines if len(words) == 2}
    if listed.get(name or wanted.file_name) != digest.hex:
        raise Corrupt(
            f"the release's checksums do not name {wanted}",
            details=f"The registry says {digest}, the release {listed.get(name or wanted.file_name, 'nothing')}.",
            resolution="Nothing of it was used. Tell whoever publishes the provider.",
        )


def _keys(said: Mapping[str, object], url: str) -> bytes:
    """The keys that the registry names for this provider, armoured."""
    try:
        listed = said["signing_keys"]["gpg_public_keys"]  # type: ignore[index]
        keys = "\n".join(str(each["ascii_armor"]).strip() + "\n" for each in listed)
    except (KeyError, TypeError):
        keys = ""
    if not keys:
        raise Corrupt(f"the registry names no key for {shown(url)}", resolution="Tell whoever publishes the provider.")
    return keys.encode()


def _check_signature(proofs: Mapping[str, bytes], url: str) -> None:
    from naust.source.openpgp import signed_text

    with tempfile.TemporaryDirectory(prefix="naust-") as folder:
        keyring = Path(folder) / "the keys that the registry names"
        keyring.write_bytes(proofs["key.asc"])
        signed_text(proofs["SHA256SUMS"], keyring, shown(url), proofs["SHA256SUMS.sig"])


def _token(host: str) -> Secret | None:
    """Who we are at a registry: $TF_TOKEN_…, else what `terraform login` left behind
    (https://developer.hashicorp.com/terraform/cli/config/config-file, "Credentials")."""
    name = host.partition(":")[0].replace("-", "__").replace(".", "_")
    if value := os.environ.get(f"TF_TOKEN_{name}"):
        return Secret(value)
    path = Path.home() / ".terraform.d" / "credentials.tfrc.json"
    try:
        return Secret(str(json.loads(path.read_bytes())["credentials"][host]["token"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
