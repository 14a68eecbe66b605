"""common.catalog: what is named is found and checked with all that it reaches; all problems of all files at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from common.catalog import Catalog
from common.errors import BadInput
from common.role import RoleType

if TYPE_CHECKING:
    from tests.unit.common.conftest import Definitions


def test_definitions_without_a_fault_are_read(definitions: Definitions) -> None:
    system, target = definitions.catalog.definition("lab", "container")
    (group,) = system.groups
    assert [use.role.name for use in group.roles] == ["router", "proxy"]
    assert group.roles[0].parameters == (("asn", 64512), ("peers", "edge"))
    assert group.roles[0].role.folder == definitions.folder / "roles" / "router"
    assert [(node.name, node.group, node.networks) for node in target.nodes] == [
        ("n1", "edge", ("fabric",)),
        ("n2", "edge", ("fabric",)),
    ]
    assert target.networks[0].pool == "10.213.0.0/16"
    assert str(group.roles[0].place) == "lab/system.hcl:8"


def test_names_are_listed(definitions: Definitions) -> None:
    catalog = definitions.catalog
    assert catalog.systems() == ("lab",)
    assert catalog.targets("lab") == ("container",)
    assert [role.name for role in catalog.roles()] == ["proxy", "router"]
    assert catalog.role("proxy").type is RoleType.ENDPOINT
    assert catalog.base("debian-13").suite == "trixie"
    assert catalog.target("lab", "container") == catalog.target(catalog.system("lab"), "container")


def test_a_folder_without_role_hcl_is_no_role(definitions: Definitions) -> None:
    definitions.write("roles/process/tasks/main.yml", "")
    assert definitions.catalog.role_names() == ("proxy", "router")


@pytest.mark.parametrize(
    ("read", "message", "resolution"),
    [
        (lambda catalog: catalog.role("proxi"), "there is no role 'proxi'", 'Did you mean "proxy"?'),
        (lambda catalog: catalog.role("zzz"), "there is no role 'zzz'", "Roles are: proxy, router"),
        (lambda catalog: catalog.role("../lab"), "there is no role '../lab'", "Roles are: proxy, router"),
        (lambda catalog: catalog.base("debian"), "there is no base 'debian'", 'Did you mean "debian-13"?'),
        (lambda catalog: catalog.system("lav"), "there is no system 'lav'", 'Did you mean "lab"?'),
        (
            lambda catalog: catalog.target("lab", "contaner"),
            "there is no target of lab 'contaner'",
            'Did you mean "container"?',
        ),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(
    definitions: Definitions, read: object, message: str, resolution: str
) -> None:
    with pytest.raises(BadInput) as caught:
        read(definitions.catalog)  # type: ignore[operator]  # parametrized
    assert (caught.value.message, caught.value.resolution) == (message, resolution)
    assert caught.value.exit_code == 2


def test_the_folder_is_the_option_else_the_variable_else_here_else_the_installed_one(
    definitions: Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SETER_SYSTEMS", raising=False)
    installed = Catalog.open().folder
    assert (installed / "s3-lb" / "system.hcl").is_file()
    (tmp_path / "work" / "systems" / "roles").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    assert Catalog.open().folder == tmp_path / "work" / "systems"
    monkeypatch.setenv("SETER_SYSTEMS", str(tmp_path))
    assert Catalog.open().folder == tmp_path
    assert Catalog.open(installed).folder == installed
    with pytest.raises(BadInput, match="holds no roles"):
        Catalog.open(tmp_path / "lab")


# One fault, one message -----------------------------------------------------------------------------------------------

ROUTER = "roles/router/role.hcl"
PROXY = "roles/proxy/role.hcl"
SYSTEM = "lab/system.hcl"
TARGET = "lab/targets/container.hcl"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        # syntax, expressions, double attributes
        (SYSTEM, "asn   = 64512", "asn = ", "lab/system.hcl:9: column 13: the line ends too early; write NAME = VALUE"),
        (SYSTEM, "asn   = 64512", "asn = 64512 + 1", "lab/system.hcl:9: asn is an expression, not a literal; write a"),
        (SYSTEM, '"Two groups"', '"${x}"', "lab/system.hcl:2: summary is text with an expression, ${…}; write the"),
        (
            SYSTEM,
            "asn   = 64512",
            "asn = 64512\n      asn = 64513",
            "lab/system.hcl:10: asn is given twice, first in line 9; keep one of the two",
        ),
        # unknown names
        (
            SYSTEM,
            'role "proxy" {}',
            'role "proxi" {}',
            'lab/system.hcl:12: group "edge": unknown role "proxi"; did you mean "proxy"?',
        ),
        (
            SYSTEM,
            'peers = "edge"',
            'peers = "egde"',
            'lab/system.hcl:10: group "edge": role "router": peers: unknown group "egde"; did you mean "edge"?',
        ),
        (
            SYSTEM,
            'role "proxy" {}',
            'role "proxy" {\n      timeot = "1s"\n    }',
            'lab/system.hcl:13: group "edge": role "proxy": timeot: unknown parameter of role proxy; '
            'did you mean "timeout"?',
        ),
        (
            SYSTEM,
            'on     = "edge"',
            'on = "edgy"',
            'lab/system.hcl:14: check "spread": on: unknown group "edgy"; did you mean "edge"?',
        ),
        (
            SYSTEM,
            "at_least = 2",
            "atleast = 2",
            'lab/system.hcl:7: group "edge": unknown attribute atleast; did you mean "at_least"?',
        ),
        (
            TARGET,
            'nodes "edge"',
            'nodes "edges"',
            'lab/targets/container.hcl:5: unknown group "edges"; did you mean "edge"?',
        ),
        (
            TARGET,
            '"fabric"]\n      address',
            '"fabrik"]\n      address',
            'lab/targets/container.hcl:6: nodes "edge": node "n1": unknown network "fabrik"; did you mean "fabric"?',
        ),
        (
            TARGET,
            'image = "debian-13"',
            'image = "debian-12"',
            'lab/targets/container.hcl:3: image: unknown base "debian-12"; did you mean "debian-13"?',
        ),
        (
            PROXY,
            'needs   = ["router"]',
            'needs = ["ruoter"]',
            'roles/proxy/role.hcl:4: needs: unknown role "ruoter"; did you mean "router"?',
        ),
        # wrong types and what is out of range
        (
            SYSTEM,
            "asn   = 64512",
            'asn = "64512"',
            'lab/system.hcl:9: group "edge": role "router": asn: "64512" is no AS number; '
            "write a whole number, without quotes",
        ),
        (
            SYSTEM,
            '["192.0.2.10"]',
            '["192.0.2.300"]',
            'lab/system.hcl:4: parameters: vips: "192.0.2.300" is no address: 300 is out of range 0 to 255; '
            'write one such as "192.0.2.10" or "2001:db8::10"',
        ),
        (PROXY, "listens = [443]", "listens = [70000]", "roles/proxy/role.hcl:13: process: listens: 70000 is no port;"),
        (
            PROXY,
            '= "1s"',
            "= 1",
            'roles/proxy/role.hcl:9: parameter "timeout": default: 1 is no duration; '
            'write a number and ms, s, m, h or d, as in "500ms" or "15m"',
        ),
        (
            TARGET,
            'address  = "10.0.0.1"',
            'address = "2001:db8::1"',
            'lab/targets/container.hcl:8: nodes "edge": node "n1": address: "2001:db8::1" is no IPv4 address; '
            "write it as address6",
        ),
        (
            SYSTEM,
            'role "proxy" {}',
            'role "proxy" { artifact = "proxy" }',
            'lab/system.hcl:12: group "edge": role "proxy": artifact: \'proxy\' names no artefact; '
            "write KIND/NAME:VERSION, one that `naust list` shows",
        ),
        # roles that need
        (
            SYSTEM,
            '    role "router" {\n      asn   = 64512\n      peers = "edge"\n    }\n    role "proxy" {}\n',
            '    role "proxy" {}\n    role "router" {\n      asn   = 64512\n      peers = "edge"\n    }\n',
            'lab/system.hcl:8: group "edge": role "proxy" needs role "router" on the same node, started first; '
            "move it before this line",
        ),
        (
            PROXY,
            'needs   = ["router"]',
            'needs = ["proxy"]',
            "roles/proxy/role.hcl:4: role proxy needs itself: proxy → proxy; take one of these out",
        ),
        # roles in themselves
        (
            PROXY,
            'role "proxy"',
            'role "prox"',
            'roles/proxy/role.hcl:1: role "prox" lies where role "proxy" is looked for; write role "proxy", or move it',
        ),
        (PROXY, '"endpoint"', '"component"', "roles/proxy/role.hcl:2: type: a component has no process; leave the"),
        (PROXY, '"endpoint"', '"endpint"', 'roles/proxy/role.hcl:2: type: "endpint" is no choice; did you mean'),
        (
            PROXY,
            "metrics = 8082",
            'software = "pypi:x==1"',
            "roles/proxy/role.hcl:5: software: software and sha256 go together; add sha256 = …",
        ),
        (
            PROXY,
            "listens = [443]",
            'user = "proxy"',
            "roles/proxy/role.hcl:11: process: uid: user proxy with uid 0; "
            "add uid = NUMBER, the same in every image, for the user proxy",
        ),
        (
            PROXY,
            "listens = [443]",
            'on_change = "reload"',
            'roles/proxy/role.hcl:13: process: on_change: "reload" without a command for it; add reload = […]',
        ),
        (
            PROXY,
            "metrics = 8082",
            'metrics = 8082\n  check "x" {}',
            'roles/proxy/role.hcl:6: check "x": looks at nothing; give it one of http, command',
        ),
        (
            PROXY,
            "metrics = 8082",
            'secret "s" {\n    make  = "certificate"\n    names = ["dns"]\n  }',
            'roles/proxy/role.hcl:1: secret "s": "dns" is neither "node" nor a parameter of the role; names here are:',
        ),
        (
            PROXY,
            "metrics = 8082",
            'image "container" {\n    base = "debian-14"\n  }',
            'roles/proxy/role.hcl:5: image "container": unknown base "debian-14"; did you mean "debian-13"?',
        ),
        # targets
        (
            TARGET,
            '    node "n2" {\n      networks = ["fabric"]\n      parameters { router_id = "10.0.0.2" }\n    }\n',
            "",
            'lab/targets/container.hcl:5: group "edge" has 1 node and needs 2; '
            "add nodes, or lower at_least in lab/system.hcl:6",
        ),
        (
            TARGET,
            '  image = "debian-13"\n',
            "",
            "lab/targets/container.hcl:1: a container target needs an image; "
            'add image = "BASE", what its nodes are made of',
        ),
        (
            TARGET,
            'node "n2" {\n      networks = ["fabric"]',
            'node "n2" {\n      networks = []',
            'lab/targets/container.hcl:11: nodes "edge": node "n2" is on no network; add networks = ["…"]',
        ),
        (TARGET, '"container"\n', '"kontainer"\n', 'lab/targets/container.hcl:2: kind: "kontainer" is no choice; did'),
        (
            TARGET,
            'network "fabric" {}',
            'network "fabric" {\n    pool   = "10.0.0.0/24"\n    length = 16\n  }',
            'lab/targets/container.hcl:6: network "fabric": length: a /16 does not fit into 10.0.0.0/24; '
            "write 24 or more",
        ),
        (
            SYSTEM,
            "asn   = 64512\n",
            "",
            'lab/system.hcl:8: group "edge": role "router" has no value for asn (asn); add asn = … to this block, '
            "or to parameters { … } of the system or the target",
        ),
    ],
)
def test_a_fault_is_one_message_with_file_line_and_fix(
    definitions: Definitions, file: str, old: str, new: str, message: str
) -> None:
    definitions.change(file, old, new)
    problems = definitions.problems()
    assert [problem[: len(message)] for problem in problems] == [message]


def test_a_group_without_a_role_that_another_needs_says_where_to_add_it(definitions: Definitions) -> None:
    definitions.change(SYSTEM, '    role "router" {\n      asn   = 64512\n      peers = "edge"\n    }\n', "")
    problems = definitions.problems(lambda catalog: catalog.system("lab"))
    assert problems == [
        'lab/system.hcl:8: group "edge": role "proxy" needs role "router" on the same node, started first; '
        'add role "router" {} before this line'
    ]


def test_a_misspelt_parameter_of_the_system_is_found_where_it_is_named(definitions: Definitions) -> None:
    definitions.change(SYSTEM, "vips = [", "vip = [")
    assert definitions.problems() == [
        'lab/system.hcl:8: group "edge": role "router" has no value for vips (list(address)); add vips = … to this '
        "block, or to parameters { … } of the system or the target",
        'lab/system.hcl:14: check "spread": routes: unknown parameter "vips"; did you mean "vip"?',
    ]


def test_all_problems_of_all_files_come_at_once(definitions: Definitions) -> None:
    definitions.change(ROUTER, "listens = [179]", "listens = [0]")
    definitions.change(PROXY, "metrics = 8082", "metrik = 8082")
    definitions.change(SYSTEM, "asn   = 64512", "asn = 0")
    definitions.change(SYSTEM, 'summary = "Two groups"', "summary = two")
    definitions.change(SYSTEM, "at_least = 2", "at_least = 0")
    definitions.change(TARGET, 'image = "debian-13"', 'image = "debian"')
    definitions.change(TARGET, 'nodes "edge"', 'nodes "egde"')
    definitions.change(TARGET, 'address  = "10.0.0.1"', 'address = "10.0.0.1/8"')
    places = [":".join(problem.split(":")[:2]) for problem in definitions.problems()]
    assert places == [
        "lab/system.hcl:2",
        "lab/system.hcl:7",
        "lab/targets/container.hcl:3",
        "lab/targets/container.hcl:8",
    ]
    definitions.change(SYSTEM, "summary = two", 'summary = "two"')
    places = [":".join(problem.split(":")[:2]) for problem in definitions.problems()]
    assert places == [
        "lab/system.hcl:7",
        "lab/system.hcl:9",
        "lab/targets/container.hcl:3",
        "lab/targets/container.hcl:5",
        "lab/targets/container.hcl:8",
        "roles/proxy/role.hcl:5",
        "roles/router/role.hcl:23",
    ]


def test_roles_that_need_each_other_are_told_once_with_the_circle(definitions: Definitions) -> None:
    definitions.change(ROUTER, 'summary = "Passes packets on"', 'summary = "x"\n  needs = ["proxy"]')
    circles = [problem for problem in definitions.problems(lambda catalog: catalog.roles()) if "itself" in problem]
    assert circles == [
        "roles/router/role.hcl:4: role proxy needs itself: proxy → router → proxy; take one of these out"
    ]


def test_roles_whose_images_build_on_each_other_are_told(definitions: Definitions) -> None:
    definitions.change(ROUTER, "  process {", '  image "container" { base = "proxy" }\n  process {')
    definitions.change(PROXY, "  process {", '  image "container" { base = "router" }\n  process {')
    assert definitions.problems(lambda catalog: catalog.role("router")) == [
        "roles/proxy/role.hcl:11: role router builds on itself: router → proxy → router; take one of these out"
    ]


def test_a_role_reaches_the_role_that_its_image_builds_on(definitions: Definitions) -> None:
    definitions.change(PROXY, "  process {", '  image "container" { base = "router" }\n  process {')
    definitions.change(
        ROUTER, "    listens = [179]\n  }", '    listens = [0]\n  }\n  image "container" { base = "debian-13" }'
    )
    problems = definitions.problems(lambda catalog: catalog.role("proxy"))
    assert problems == ["roles/router/role.hcl:23: process: listens: 0 is no port; ports are 1 to 65535"]


def test_an_image_cannot_build_on_a_role_that_has_none(definitions: Definitions) -> None:
    definitions.change(PROXY, "  process {", '  image "container" { base = "router" }\n  process {')
    assert definitions.problems(lambda catalog: catalog.role("proxy")) == [
        'roles/proxy/role.hcl:11: image "container": role router has no image of this kind; '
        'add image "container" { … } to it, or name another base'
    ]


def test_a_system_parameter_that_nobody_declares_is_told(definitions: Definitions) -> None:
    definitions.change(SYSTEM, 'vips = ["192.0.2.10"]', 'vips = ["192.0.2.10"]\n    timeot = "1s"')
    assert definitions.problems() == [
        "lab/system.hcl:5: parameters: timeot: no role of the system declares it and nothing names it; "
        'did you mean "timeout"?'
    ]


def test_a_file_that_cannot_be_read_is_a_problem(definitions: Definitions) -> None:
    path = definitions.folder / PROXY
    path.unlink()
    path.mkdir()
    assert definitions.problems() == ["roles/proxy/role.hcl: cannot be read (Is a directory); make it readable"]
