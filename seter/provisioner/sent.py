"""The programs that are sent to hosts: each is one text, made of the files that need each other there."""

from __future__ import annotations

from functools import cache
from importlib import resources

PACKAGE = "seter.provisioner"
SHARED = ("onnode", "onslots")
# The modules find each other by their names, as they do here; the last one is the program.
LOADER = """\
import sys, types
for name, text in {parts!r}:
    module = sys.modules.setdefault(name, types.ModuleType(name))
    module.__path__ = []
    if text is not None:
        package, _, last = name.rpartition(".")
        setattr(sys.modules[package], last, module)
        exec(compile(text, name, "exec"), module.__dict__)
module.main(sys.argv[1:])
"""


@cache
def program(name: str = "onhost") -> str:
    """What runs on hosts: `onhost`, or `onwriting`."""
    packages = [("seter", None), (PACKAGE, None)]
    folder = resources.files(PACKAGE)
    texts = [(f"{PACKAGE}.{part}", folder.joinpath(f"{part}.py").read_text("utf-8")) for part in (*SHARED, name)]
    return LOADER.format(parts=[*packages, *texts])
