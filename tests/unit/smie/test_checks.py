"""What checks are told, how they are run, and how their results are read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from common.catalog import Catalog
from common.errors import BadInput, NotFound
from naust.store.memory import MemoryStore
from smie.checks.about import budget, image_facts
from smie.checks.facts import ImageFacts, RoleFacts
from smie.checks.fixtures import becoming
from smie.checks.results import EVERY, Check, joined, read
from smie.checks.running import Checked, ChecksFailed, Place, argv, files_of
from smie.cli.options import duration
from smie.isolation import guarded, tied
from smie.test import chosen, test
from smie.workspace import Workspace
from tests.conftest import ROOT
from tests.unit.smie.conftest import Kitchen

test.__test__ = False  # type: ignore[attr-defined]  # the verb, not a test

OURS = '<properties><property name="name" value="{}"/><property name="of" value="{}"/></properties>'
JUNIT = f"""<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="4">
<testcase classname="" name="test_nobody_has_a_password[docker://abc]" time="0.5">
{OURS.format("test_nobody_has_a_password", EVERY)}</testcase>
<testcase classname="" name="test_it_starts[docker://abc-four]" time="0.1">{OURS.format("test_it_starts[four]", "bird")}
<failure message="short">def test():\nE   AssertionError: no\nE    more\nfile.py:3</failure></testcase>
<testcase classname="" name="test_it_is_skipped[ssh://root@gw1]" time="0">{OURS.format("test_it_is_skipped", "bird")}
<skipped message="later"/></testcase>
<testcase classname="" name="x.checks.test_bird" time="0"><error message="collection failure">E   SyntaxError</error>
</testcase></testsuite></testsuites>"""


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    file = tmp_path / "checks.xml"
    file.write_text(JUNIT)
    return file


def test_results_say_whose_a_check_is_what_it_promises_and_why_it_does_not_hold(junit: Path) -> None:
    assert read(junit) == (
        Check(EVERY, "nobody has a password", "", 0.5),
        Check("bird", "it starts [four]", "AssertionError: no\nmore", 0.1),
        Check("bird", "it is skipped", "it was skipped, which no check may be: later", 0.0),
        Check("a file of checks", "x.checks.test bird", "SyntaxError", 0.0),
    )


def test_one_junit_file_holds_the_results_of_several(junit: Path) -> None:
    whole = ElementTree.fromstring(joined([("container/a", junit), ("container/b", junit)]))
    assert [suite.get("name") for suite in whole] == ["container/a", "container/b"]
    assert [case.get("name") for case in whole[0]][:2] == ["test_nobody_has_a_password", "test_it_starts[four]"]


def test_a_failed_check_says_role_promise_assertion_log_and_what_to_do() -> None:
    checked = Checked("container/x", (Check("x", "it starts", "assert 1 == 2"), Check("x", "it stops")), Path("j"))
    error = ChecksFailed(checked, Path("/l/x.log"), "Build again.")
    assert str(error).splitlines() == [
        "container/x: 1 of 2 checks failed",
        "  x: it starts",
        "    assert 1 == 2",
        "Build again. The whole log is in /l/x.log.",
    ]
    assert error.exit_code == 1


def test_facts_come_out_as_they_went_in(tmp_path: Path) -> None:
    role = RoleFacts("bird", ("/r/bird",), "2.17", "bird", 950, ("x",), ("NET_ADMIN",), ("bird",))
    packages, setuid = (("bird2", "2.17"),), ("/bin/su",)
    facts = ImageFacts("container/bird", "container", 5, 10, True, setuid, packages, ("bird2",), (role,))
    facts.write(tmp_path / "facts.json")
    assert ImageFacts.read(tmp_path / "facts.json") == facts


def test_checks_are_told_what_the_definitions_say(kitchen: Kitchen) -> None:
    kitchen.write("bird/tasks/install.yml", "- ansible.builtin.include_role: {name: shared, tasks_from: install}\n")
    kitchen.write("shared/tasks/install.yml")
    kitchen.options = {"setuid": ("/usr/bin/one",), "status": ("/usr/local/lib/status", "x")}
    kitchen.base = replace(kitchen.base, setuid=("/usr/bin/su",))
    kitchen.image = replace(kitchen.image, size_at_most=7)
    facts = image_facts(kitchen.recipe(), 5)
    assert (facts.title, facts.size, facts.size_at_most) == ("container/bird", 5, 7)
    assert facts.setuid == ("/usr/bin/one", "/usr/bin/su")
    assert facts.packages == (("apt", "1.0-1"), ("bird2", "2.17.6-1"), ("openssl", "3.5.4-1"))
    (role,) = facts.roles
    assert (role.version, role.user, role.uid) == ("2.17.6-1", "bird", 950)
    assert role.programs == ("/usr/sbin/bird", "/usr/local/lib/status")
    assert [Path(folder).name for folder in role.folders] == ["bird", "shared"]


def test_a_budget_is_that_of_the_image_block_or_of_the_base(kitchen: Kitchen) -> None:
    kitchen.write("bird/tasks/install.yml")
    kitchen.base = replace(kitchen.base, size_at_most=3)
    assert budget(kitchen.base_recipe()) == 3
    assert budget(kitchen.recipe()) is None
    kitchen.image = replace(kitchen.image, size_at_most=9)
    assert budget(kitchen.recipe()) == 9


def test_a_budget_and_a_check_build_nothing_anew_and_setuid_of_a_base_does(kitchen: Kitchen) -> None:
    kitchen.write("bird/tasks/install.yml")
    before = kitchen.recipe()
    kitchen.image = replace(kitchen.image, size_at_most=9)
    kitchen.write("bird/checks/test_bird.py", "def test_it() -> None: ...\n")
    assert kitchen.recipe().fingerprint == before.fingerprint
    kitchen.base = replace(kitchen.base, setuid=("/usr/bin/su",))
    assert kitchen.recipe().fingerprint != before.fingerprint


def test_a_process_is_become_with_its_capabilities_and_no_others() -> None:
    assert becoming(RoleFacts("network", user="root")) == becoming(RoleFacts("ceph-common")) == ()
    words = becoming(RoleFacts("bird", user="bird", uid=950, capabilities=("NET_ADMIN",)))
    assert {"--reuid=bird", "--regid=bird", "--clear-groups", "--bounding-set=-all,+net_admin"} <= set(words)


def test_pytest_looks_where_it_is_told_with_the_checks_of_all_roles_and_no_settings_of_others(tmp_path: Path) -> None:
    checks = tmp_path / "bird" / "checks"
    checks.mkdir(parents=True)
    (checks / "test_bird.py").touch()
    (checks / "other.py").touch()
    image = ImageFacts("container/bird", "container", 1, roles=(RoleFacts("bird", (str(tmp_path / "bird"),)),) * 2)
    assert [path.name for path in files_of(image)] == ["every.py", "test_bird.py"]
    facts, junit = tmp_path / "facts.json", tmp_path / "checks.xml"
    words = argv(image, facts, junit, Place("ssh://gw1", tied, Path("/w/ssh")))
    assert {"--hosts=ssh://gw1", "--ssh-config=/w/ssh", "--noconftest", f"--rootdir={tmp_path}"} <= set(words)
    words = argv(image, facts, junit, Place("/w/tree", guarded, connection="chroot"))
    assert {"--hosts=/w/tree", "--connection=chroot"} <= set(words)


def test_what_was_not_built_is_named_before_anything_is_started(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.write("bird/tasks/install.yml")
    with pytest.raises(NotFound, match="container/bird was not built") as caught:
        test(MemoryStore(), [kitchen.recipe()], Workspace(tmp_path), lambda event: None)
    assert "smie build bird" in caught.value.resolution


def test_a_role_means_its_artefact_and_a_system_all_that_stands_in_it(kitchen: Kitchen) -> None:
    kitchen.write("bird/tasks/install.yml")
    every = (kitchen.base_recipe(), kitchen.recipe())
    assert [one.name for one in chosen(every, ("bird",))] == ["bird"]
    assert chosen(every, ("s3-lb",)) == chosen(every, ()) == every


def test_a_time_limit_is_a_duration() -> None:
    assert duration("90s") == timedelta(seconds=90) and duration(None) is None
    for wrong in ("soon", "0s", "-1s"):
        with pytest.raises(BadInput, match="--time-limit"):
            duration(wrong)


def test_every_role_of_ours_has_checks_and_every_image_a_budget() -> None:
    catalog = Catalog.open(ROOT / "systems")
    for role in catalog.roles():
        assert list((role.folder / "checks").glob("test_*.py")), role.name
        assert [image.kind for image in role.images if not image.size_at_most] == [], role.name
    assert [name for name in catalog.base_names() if not catalog.base(name).size_at_most] == []


def test_nothing_of_ours_is_setuid() -> None:
    catalog = Catalog.open(ROOT / "systems")
    named = [role.setuid for role in catalog.roles()] + [catalog.base(name).setuid for name in catalog.base_names()]
    assert set(named) == {()}
