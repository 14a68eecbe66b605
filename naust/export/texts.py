"""What a disk says for itself: README for people, and `install` for sh(1), which needs nothing of ours."""

from __future__ import annotations

from collections.abc import Sequence

README = """\
{title}

Exported by naust. It holds all that is needed to install the tools and to deploy, without any network:

  store/      artefacts, their signatures and lists of contents, and what they were made of: a naust store
  systems/    the definitions
  tools/      smie, naust and seter and all that they need, as Python wheels{pythons}
  MANIFEST    every file: path, size, SHA-256

1. Is it whole? With nothing but coreutils, in this folder:

     sha256sum --check --quiet SHA256SUMS

   That it comes from whom you think it does only a signature can say (MANIFEST.sigstore.json is over MANIFEST), with a
   public key that came another way, and a program that is not from this disk either: a naust that you have,
   `naust import . --check --key release.pub`, or

     cosign verify-blob-attestation --key release.pub --bundle MANIFEST.sigstore.json --insecure-ignore-tlog \\
       --type https://sigstore.dev/cosign/sign/v1 MANIFEST

2. {install}

3. Deploy from the disk, with a Docker engine on this machine:

     PREFIX/bin/seter deploy {system} --target container --systems systems --store ./store

   Or copy everything into a store of your own first:

     PREFIX/bin/naust import . --to /srv/naust

On it are:

{artifacts}

Snapshots with what these were made of:

{snapshots}
"""

WITH_TOOLS = """\
Install the tools. This checks everything first and needs Python {versions} with its venv module:

     sh install PREFIX            or, if openssl is there too:   sh install PREFIX --key release.pub"""
WITHOUT_TOOLS = "Install the tools from elsewhere: this disk was exported without them."

INSTALL = """\
#!/bin/sh
# Installs smie, naust and seter from this disk, after all of it was checked. Needs no network and, beside coreutils
# and awk, Python {pythons} with its venv module; for --key openssl. Whoever can change the disk can change this script
# too: README says how to check the signature with a program that is not from here.
#   sh install PREFIX [--key PUBLIC-KEY-FILE]
set -eu
say() {{ printf 'install: %s\\n' "$*" >&2; }}
fail() {{ code=$1; shift; say "$@"; exit "$code"; }}

usage='sh install PREFIX [--key PUBLIC-KEY-FILE]'
[ $# -eq 1 ] || {{ [ $# -eq 3 ] && [ "$2" = --key ]; }} || fail 2 "usage: $usage"
case $1 in -*) fail 2 "usage: $usage" ;; esac
prefix=$1
key=${{3:-}}
[ -z "$key" ] || [ -r "$key" ] || fail 2 "$key cannot be read"
[ ! -e "$prefix/bin" ] || fail 7 "$prefix/bin is there already; name another folder"
disk=$(cd "$(dirname "$0")" && pwd)

python=
for version in {pythons}; do
  for name in ${{PYTHON:-}} python3 "python$version"; do
    found=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    [ "$found" != "$version" ] || python=$name
    [ -z "$python" ] || break 2
  done
done
[ -n "$python" ] || fail 2 "there is no Python {pythons} here, for which this disk has wheels; set PYTHON to one"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail 2 "$python has no venv module: install python3-venv"

[ ! -e "$disk/INCOMPLETE" ] || fail 8 "$disk is not complete: its export broke off"
if [ -n "$key" ]; then
  command -v openssl >/dev/null || fail 2 "openssl is not there, which checks signatures: leave out --key, see README"
  [ -e "$disk/MANIFEST.sigstore.json" ] || fail 8 "$disk is not signed"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # DSSE (https://github.com/secure-systems-lab/dsse): what is signed is the statement, with its type and both lengths.
  "$python" -I - "$disk" "$work" <<'END' || fail 8 "the signature is about another MANIFEST"
import base64, hashlib, json, pathlib, sys

disk, work = map(pathlib.Path, sys.argv[1:])
envelope = json.loads((disk / "MANIFEST.sigstore.json").read_bytes())["dsseEnvelope"]
payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
(work / "signed").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
(work / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
about = json.loads(payload)["subject"][0]
found = hashlib.sha256((disk / "MANIFEST").read_bytes()).hexdigest()
sys.exit(about["digest"]["sha256"] != found or about["annotations"]["purpose"] != "export")
END
  openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$work/signed" -sigfile "$work/signature" >/dev/null 2>&1 ||
    fail 8 "$disk is signed by none of the keys in $key; nothing was installed"
fi
say "checking $disk"
# By MANIFEST, which is what was signed.
(cd "$disk" && sed 1d MANIFEST | awk -F '\t' '{{ print $3 "  " $1 }}' | sha256sum --check --quiet --strict >&2) ||
  fail 8 "$disk is damaged; nothing was installed"

say "installing into $prefix"
trap '[ -z "${{work:-}}" ] || rm -rf "$work"
  [ -e "$prefix/.installed" ] || rm -rf "$prefix/bin" "$prefix/lib" "$prefix/lib64" "$prefix/include" \
    "$prefix/pyvenv.cfg"' EXIT
trap 'exit 130' INT TERM
"$python" -m venv "$prefix"
prefix=$(cd "$prefix" && pwd)
"$prefix/bin/python" -m pip --isolated install --quiet --disable-pip-version-check --no-compile --no-deps --no-index \\
  --find-links "$disk/tools" --require-hashes --requirement "$disk/tools/requirements.txt"
"$prefix/bin/python" -m compileall -q "$prefix"/lib/python*/site-packages/{rooms} || true
# What sha256sum does not say: whether there is more than was listed.
"$prefix/bin/naust" import "$disk" --check --quick ${{key:+--key "$key"}} >&2
: >"$prefix/.installed"
say "done. Deploy with:"
say "  $prefix/bin/seter deploy {system} --target container --systems $disk/systems --store $disk/store"
"""


def readme(systems: Sequence[str], artifacts: Sequence[str], snapshots: Sequence[str], pythons: Sequence[str]) -> str:
    """README. The same disk has the same."""
    versions = " or ".join(pythons)
    return README.format(
        title=f"{', '.join(systems)}: systems on a disk" if len(systems) > 1 else f"{systems[0]}: a system on a disk",
        system=systems[0],
        pythons=f" for Python {versions}" if pythons else " (left out)",
        install=WITH_TOOLS.format(versions=versions) if pythons else WITHOUT_TOOLS,
        artifacts=_listed(artifacts),
        snapshots=_listed(snapshots),
    )


def install(systems: Sequence[str], pythons: Sequence[str]) -> str:
    """The script."""
    rooms = " ".join(("common", *(f'"$prefix"/lib/python*/site-packages/{each}' for each in _COMPILED)))
    return INSTALL.format(system=systems[0], pythons=" ".join(pythons), rooms=rooms)


_COMPILED = ("naust", "smie", "seter", "typer")  # what every command loads; the rest is compiled when it is used


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"  {line}" for line in sorted(lines)) or "  none"
