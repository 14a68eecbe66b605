"""The shapes of the blocks of `role.hcl` that hold commands by which a running role is looked at and looked after."""

from __future__ import annotations

from common.names import as_command
from common.role import Restore
from common.schema import Setting, Shape


def command_only(command: tuple[str, ...]) -> tuple[str, ...]:
    """A block that holds a command and nothing else is that command."""
    return command


STATUS = Shape(
    name="status",
    summary="Command that prints the role's state as JSON, for `seter status`",
    make=command_only,
    settings=(Setting("command", "list of text", as_command, "Program and arguments", True),),
)

BACKUP = Shape(
    name="backup",
    summary="Command that writes a copy of the role's state into a file on the node, for `seter backup`",
    make=command_only,
    settings=(
        Setting(
            "command",
            "list of text",
            as_command,
            "Program and arguments; it prints JSON: `file`, where the copy is, and what is to be noted with it",
            True,
        ),
    ),
)

RESTORE = Shape(
    name="restore",
    summary="How the role takes such a copy back, for `seter restore`: on all its nodes",
    make=Restore,
    settings=(
        Setting(
            "prepare",
            "list of text",
            as_command,
            "Command that makes all ready and changes nothing yet; `{file}` is the copy on the node",
            True,
        ),
        Setting(
            "commit",
            "list of text",
            as_command,
            "Command that lets the process take what was prepared; run when every node has prepared",
            True,
        ),
    ),
)

MAINTAIN = Shape(
    name="maintain",
    summary="Command that keeps the role's state in order, for `seter maintain`; run on one node for all",
    make=command_only,
    settings=(Setting("command", "list of text", as_command, "Program and arguments; it prints JSON", True),),
)
