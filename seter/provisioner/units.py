"""What Terraform keeps for a deployment, each network and each node by itself: what is done to one touches no other,
and several are done at once.

Before Terraform runs, what it is about to be given is noted; its state goes into the deployment's encrypted cell. So a
run that was cut off at any point is gone on with by the next, on any operator's machine.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common.console import Report
from common.errors import Corrupt
from common.files import write_atomically
from seter.keep import Keep
from seter.provisioner.machines import Book, Machines, with_state, with_unit, without_unit
from seter.provisioner.modules import Document, Given
from seter.provisioner.states import BACKEND, States, served
from seter.terraform import Change, Terraform, TerraformFailed

LEFT = "errored.age"  # a state that could not be written, encrypted


class Units:
    """Of one deployment. `folder` is Terraform's, for what can be made again."""

    def __init__(self, keep: Keep, report: Callable[[], Report], halt: threading.Event) -> None:
        self._keep, self._report, self._halt = keep, report, halt
        self.machines = Machines(keep)
        self._folder = keep.folder.absolute() / "terraform"

    def bring(
        self,
        unit: str,
        given: Given,
        config: Document,
        *,
        secret: Mapping[str, str] | None = None,
        replace: Sequence[str] = (),
    ) -> tuple[Change, ...]:
        """The unit is as `config` says; what was done to it. `given` is noted, to destroy it by. Raises what a lost
        lease raises, TerraformFailed."""
        self._keep.refuse_unleased()
        self.machines.change(lambda book: with_unit(book, unit, given))
        with self._terraform(unit, given, config, self._folder / unit, secret) as terraform:
            known = self._addresses(unit)
            changes = terraform.plan(replace=[address for address in replace if address in known])
            if changes:
                self._keep.refuse_unleased()
                terraform.apply()
        return changes

    def foresee(
        self,
        unit: str,
        given: Given,
        config: Document,
        *,
        secret: Mapping[str, str] | None = None,
        destroy: bool = False,
    ) -> tuple[Change, ...]:
        """What `bring` or `destroy` would do. Changes nothing."""
        with (
            tempfile.TemporaryDirectory(prefix="seter-terraform-") as folder,
            self._terraform(unit, given, config, Path(folder), secret) as terraform,
        ):
            return terraform.plan(destroy=destroy)

    def found(self, unit: str, given: Given, config: Document) -> dict[str, dict[str, Any]]:
        """What is there of it, as its provider says now. Changes nothing."""
        with (
            tempfile.TemporaryDirectory(prefix="seter-terraform-") as folder,
            self._terraform(unit, given, config, Path(folder), None) as terraform,
        ):
            terraform.plan(destroy=True)
            return terraform.found()

    def outputs(self) -> dict[str, dict[str, Any]]:
        """Of all units, as their states have them, by unit and name."""
        states = {name: json.loads(unit.state) for name, unit in self.machines.read().units.items() if unit.state}
        return {
            name: {output: each["value"] for output, each in state.get("outputs", {}).items()}
            for name, state in states.items()
        }

    def destroy(self, unit: str, given: Given, config: Document) -> None:
        """Nothing of it is there any more, and nobody knows it. Raises as `bring` does."""
        self._keep.refuse_unleased()
        with self._terraform(unit, given, config, self._folder / unit, None) as terraform:
            if terraform.plan(destroy=True):
                self._keep.refuse_unleased()
                terraform.apply()
        self.machines.change(lambda book: without_unit(book, unit))
        shutil.rmtree(self._folder / unit, ignore_errors=True)

    def clear(self) -> None:
        """What can be made again is gone."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _addresses(self, unit: str) -> frozenset[str]:
        """What Terraform knows to be there: only that can be replaced."""
        there = self.machines.read().units.get(unit)
        state: dict[str, Any] = json.loads(there.state) if there is not None and there.state else {}
        return frozenset(f"{each['type']}.{each['name']}" for each in state.get("resources", ()))

    @contextmanager
    def _terraform(
        self, unit: str, given: Given, config: Document, folder: Path, secret: Mapping[str, str] | None
    ) -> Iterator[Terraform]:
        """Terraform, ready in a folder of the unit's own, while its state is served."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, document in (("main.tf.json", config), ("backend.tf.json", BACKEND)):
            write_atomically(folder / name, json.dumps(document, indent=2) + "\n", mode=0o600)
        write_atomically(folder / "terraform.rc", settings(str(given.get("providers", ""))))
        states = States(self.machines, unit)
        self._take_up(unit, folder)
        with served(states) as environment:
            report = self._report()
            terraform = Terraform(folder, unit, report, {**environment, **(secret or {})}, self._halt)
            try:
                terraform.init()
                yield terraform
            except TerraformFailed as failed:
                if states.refused is not None:
                    raise states.refused from failed
                raise
            finally:
                terraform.forget()
                self._put_by(folder, terraform.take_errored())

    def _put_by(self, folder: Path, state: bytes) -> None:
        """What nobody took, because the lease was lost or the store away, is not left in clear."""
        if state:
            write_atomically(folder / LEFT, self.machines.sealed(state), mode=0o600)

    def _take_up(self, unit: str, folder: Path) -> None:
        """A state that an earlier run could not write, if it is newer than what stands there."""
        plain, sealed = folder / "errored.tfstate", folder / LEFT
        if plain.exists():  # seter was killed
            self._put_by(folder, plain.read_bytes())
            plain.unlink()
        if not sealed.exists():
            return
        with suppress(Corrupt):
            left = self.machines.unsealed(sealed.read_bytes()).decode()
            self.machines.change(lambda book: with_state(book, unit, left) if newer(left, _state(book, unit)) else book)
        sealed.unlink()


def _state(book: Book, unit: str) -> str:
    there = book.units.get(unit)
    return there.state if there is not None else ""


def settings(providers: str) -> str:
    """Terraform's own settings (cli/config/config-file of its documentation): where it gets providers from. Pure."""
    if not providers:
        return ""
    url = providers.startswith("https://")
    kind, name = ("network_mirror", "url") if url else ("filesystem_mirror", "path")
    where = json.dumps(providers if url else str(Path(providers).expanduser().absolute()))
    return f"provider_installation {{\n  {kind} {{\n    {name} = {where}\n  }}\n}}\n"


def newer(left: str, there: str) -> bool:
    """Whether a state follows another: nothing was there, or it is of the same line with a higher serial. Pure."""
    try:
        ours = json.loads(left)
        other = json.loads(there) if there else None
        return other is None or (ours["lineage"] == other["lineage"] and int(ours["serial"]) > int(other["serial"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"a state that was left cannot be read: {error}", resolution="Nothing was changed.") from error
