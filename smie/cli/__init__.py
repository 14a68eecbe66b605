"""The command line of smie: each module here parses, calls and prints for the verbs that are named beside it."""

from __future__ import annotations

from common.entry import Verbs

SUMMARY = "makes artefacts from roles"
# verb → module of this folder that has it, as a function of that name (`list` as `list_`).
WHERE = {
    "apply": "apply",
    "build": "build",
    "plan": "plan",
    "list": "list",
    "test": "test",
    "new": "new",
    "lint": "lint",
    "show": "show",
}
VERBS = Verbs(__name__, WHERE)
