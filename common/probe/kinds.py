"""Which probe answers which check. A new kind is a file and a line here."""

from __future__ import annotations

from importlib import import_module

from common.probe.interface import Probe
from common.role import Check

KINDS = {
    "http": "common.probe.http:HttpProbe",
    "command": "common.probe.command:CommandProbe",
    "routes": "common.probe.routes:RoutesProbe",
    "s3": "common.probe.s3:S3Probe",
}


def probe_of(check: Check) -> Probe:
    """The probe for a check: the kind whose attribute is set."""
    kind = next(kind for kind in KINDS if getattr(check, kind))
    module, _, name = KINDS[kind].partition(":")
    made = getattr(import_module(module), name)()
    assert isinstance(made, Probe)
    return made
