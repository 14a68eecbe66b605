"""The Chaos Toolkit's library: it reads, checks and runs experiments, and writes their journals.

Formats: chaostoolkit.org, "Experiment" and "Journal". Only this module imports it, and late: it takes a fifth of a
second.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import BadInput

SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}}}


def load(file: Path) -> dict[str, Any]:
    """An experiment, checked: everything that it names is there and takes what it is given. Raises BadInput."""
    from chaoslib.exceptions import ChaosException
    from chaoslib.experiment import ensure_experiment_is_valid
    from chaoslib.loader import load_experiment

    _quiet()
    try:
        found = load_experiment(str(file))
        ensure_experiment_is_valid(found)
    except ChaosException as error:
        raise BadInput(
            f"{file}: {error}", resolution="The format is the Chaos Toolkit's; see systems/README.md."
        ) from error
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise BadInput(f"{file} is no experiment: {error}", resolution="See systems/README.md.") from error
    return dict(found)


def run(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Run it to its end, its rollbacks too, also after Ctrl-C, which the journal's `status` then says; the journal."""
    from chaoslib.experiment import run_experiment
    from chaoslib.types import Strategy

    _quiet()
    return dict(run_experiment(dict(experiment), settings=SETTINGS, strategy=Strategy.BEFORE_METHOD))


@contextmanager
def stoppable() -> Iterator[None]:
    """In here `stop` ends the experiment if one runs, and else does nothing."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def stop() -> None:
    """End the experiment that runs, from another thread: its rollbacks are done. By the library's way, SIGUSR1."""
    from chaoslib.exit import exit_gracefully

    exit_gracefully()


def _quiet() -> None:
    """What it logs we report ourselves."""
    logger = logging.getLogger("chaostoolkit")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
