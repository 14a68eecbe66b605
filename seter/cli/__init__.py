"""The command line of seter: each module here parses, calls and prints for the verbs that are named beside it."""

from __future__ import annotations

from common.entry import Verbs

SUMMARY = "puts systems on targets: plans, deploys, looks, proves, keeps, takes away"
# verb → module of this folder that has it.
WHERE = {
    "plan": "everyday",
    "deploy": "everyday",
    "status": "everyday",
    "verify": "everyday",
    "prove": "everyday",
    "chaos": "chaos",
    "exec": "everyday",
    "document": "everyday",
    "drain": "everyday",
    "undrain": "everyday",
    "logs": "nodes",
    "reboot": "nodes",
    "update": "nodes",
    "add": "nodes",
    "remove": "nodes",
    "replace": "nodes",
    "rotate": "upkeep",
    "backup": "upkeep",
    "restore": "upkeep",
    "maintain": "upkeep",
    "destroy": "everyday",
    "operators": "upkeep",
    "history": "past",
    "show": "past",
    "diff": "past",
    "rollback": "past",
    "reproduce": "past",
    "trust": "hosts",
    "report": "proof",
    "watch": "proof",
    "doctor": "hosts",
    "simulate": "foresight",
    "bench": "benching",
    "adopt": "hosts",
}
VERBS = Verbs(__name__, WHERE)
