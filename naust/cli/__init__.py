"""The command line of naust: each module here parses, calls and prints for the verbs that are named beside it."""

from __future__ import annotations

from common.entry import Verbs

SUMMARY = "keeps artefacts: whole, named, dated and checked"
# verb → module of this folder that has it, as a function of that name (`list` as `list_`).
WHERE = {
    "push": "push",
    "pull": "pull",
    "list": "list",
    "show": "show",
    "serve": "serve",
    "token": "token",
    "copy": "copy",
    "promote": "promote",
    "rm": "rm",
    "gc": "gc",
    "fsck": "fsck",
    "diff": "diff",
    "key": "key",
    "sign": "sign",
    "attest": "attest",
    "verify": "verify",
    "revoke": "revoke",
    "affected": "affected",
    "mirror": "mirror",
    "snapshot": "snapshot",
    "du": "du",
    "export": "export",
    "import": "import_",
}
VERBS = Verbs(__name__, WHERE)
