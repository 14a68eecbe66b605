"""A build works on a copy of what its recipe was made from, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from common.model import Kind
from common.role import Base
from smie import frozen
from smie.frozen import Changed
from smie.recipe import base_recipe
from tests.unit.smie.conftest import Kitchen


def test_exactly_the_files_of_the_recipe_are_copied(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.write("bird/templates/later.j2", "{{ x }}")
    kitchen.write("bird/meta/main.yml", "{}")
    kitchen.write("bird/meta/argument_specs.yml", "{}")
    copy = frozen.roles(kitchen.recipe(), tmp_path / "copy")
    files = {path.relative_to(copy).as_posix(): path for path in copy.rglob("*") if path.is_file()}
    assert set(files) == {
        "bird/tasks/install.yml", "bird/files/status.py", "bird/meta/main.yml", "process/tasks/install.yml",
    }  # fmt: skip
    assert files["bird/files/status.py"].stat().st_mode & 0o777 == 0o755
    assert files["bird/meta/main.yml"].stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("text", ["print(2)\n", None])
def test_a_file_that_changed_since_is_named(kitchen: Kitchen, tmp_path: Path, text: str | None) -> None:
    recipe, file = kitchen.recipe(), kitchen.folder / "roles" / "bird" / "files" / "status.py"
    file.write_text(text) if text else file.unlink()
    with pytest.raises(Changed, match="changed while it was being read") as raised:
        frozen.roles(recipe, tmp_path / "copy")
    assert raised.value.details == "changed: roles/bird/files/status.py"
    assert raised.value.resolution.endswith("smie build bird")


def test_the_permissions_that_a_checkout_gave_do_not_count(kitchen: Kitchen) -> None:
    before = kitchen.recipe().fingerprint
    kitchen.write("bird/files/status.py", "print()\n", 0o700)
    assert kitchen.recipe().fingerprint == before


def test_a_base_whose_files_change_is_not_made_of_them(kitchen: Kitchen, tmp_path: Path) -> None:
    file = tmp_path / "bases" / "machine" / "etc" / "motd"
    file.parent.mkdir(parents=True)
    file.write_text("one\n")
    base = Base("machine", "", "trixie", ("openssl",), file=tmp_path / "bases" / "machine.hcl")
    recipe = base_recipe(base, Kind.ROOTFS, replace(kitchen.index))
    assert frozen.overlay_tar(recipe, tmp_path / "overlay.tar", 1)
    file.write_text("two\n")
    with pytest.raises(Changed) as raised:
        frozen.overlay_tar(recipe, tmp_path / "overlay.tar", 1)
    assert raised.value.details == "changed: bases/machine/etc/motd"


def test_files_are_written_in_order_or_backwards(
    kitchen: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(backwards: bool) -> list[str]:
        seen: list[str] = []
        monkeypatch.setattr(frozen, "_copied", lambda source, target, path, wanted: not seen.append(path))
        frozen.roles(kitchen.recipe(), tmp_path / "copy", backwards=backwards)
        return seen

    assert written(False) == sorted(written(False)) and written(True) == written(False)[::-1]
