"""The frame of the three command lines: one verb is built, the invoked one, and every error ends here.

Building a Typer application of a dozen commands costs more than most of our verbs take, so the list of verbs is printed
by hand and Typer sees only the verb that was typed.
"""

from __future__ import annotations

import inspect
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from common import console
from common.entry import HELP, first_line, overview
from common.errors import BadInput, Error, Interrupted

Verb = Callable[..., None]

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Systems = Annotated[Path | None, typer.Option("--systems", help="Folder with roles, bases and systems.")]
Store = Annotated[str | None, typer.Option("--store", help="Store's URL; else $NAUST_STORE, else ./.naust.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]

INTERRUPTED = 130


def main(name: str, summary: str, verbs: Mapping[str, Verb], argv: Sequence[str] | None = None) -> int:
    """Run the verb that `argv` names and return the exit code. Ctrl-C, SIGTERM and a closed terminal (SIGHUP) take
    the same way out."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if debug and _wants_debug(verbs, words):
        words.insert(1, "--debug")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup(1) leaves it
            signal.signal(number, _interrupt)
    try:
        return _dispatch(name, summary, verbs, words)
    except Interrupted as stopped:
        console.note(f"{name}: {stopped.message}")
        return stopped.exit_code
    except Error as error:
        if debug:
            import traceback

            traceback.print_exc()
        console.show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.note(f"{name}: interrupted; what was begun was cleaned up or is taken up by the next run")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; nobody is left to be told.
        sys.stderr.close()
        return 0


def _wants_debug(verbs: Mapping[str, Verb], words: Sequence[str]) -> bool:
    """Whether the verb has a use of its own for --debug, beside showing where an error came from."""
    if not words or words[0] not in verbs:
        return False
    return "debug" in inspect.signature(verbs[words[0]]).parameters


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _dispatch(name: str, summary: str, verbs: Mapping[str, Verb], words: list[str]) -> int:
    if not words or words[0] in HELP:
        console.result(overview(name, summary, {verb: first_line(run.__doc__) for verb, run in verbs.items()}))
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        console.result(f"{name} {version('seter')}")
        return 0
    if words[0] not in verbs:
        raise BadInput(f"{name} has no verb {words[0]!r}", resolution=_suggestion(name, words[0], verbs))
    return _invoke(f"{name} {words[0]}", verbs[words[0]], words[1:])


def _invoke(name: str, verb: Verb, words: list[str]) -> int:
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.command()(verb)
    command = typer.main.get_command(app)
    try:
        code = command.main(args=words, prog_name=name, standalone_mode=False)
    except Exception as error:
        # Typer carries its own copy of click, whose classes are not public: its errors are told by what they can do,
        # and Abort, which it makes of Ctrl-C, by its name.
        if type(error).__name__ == "Abort":
            raise KeyboardInterrupt from error
        if not hasattr(error, "format_message"):
            raise
        raise BadInput(str(error.format_message()), resolution=f"See {name} --help.") from error
    if code == INTERRUPTED:  # what newer Typers make of Ctrl-C
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _suggestion(name: str, word: str, verbs: Mapping[str, Verb]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, verbs, n=1)
    return f"Did you mean {name} {close[0]}?" if close else f"Its verbs are: {', '.join(verbs)}."
