"""Every kind of fault is found where it was put, and a good role has none."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible.playbook.block import Block
from ansible.playbook.handler import Handler

from common.catalog import Catalog
from common.errors import BadInput
from smie.lint.expressions import reading
from smie.lint.finding import FAULTS, Finding
from smie.lint.lint import lint
from smie.lint.tasks import KEYWORDS, TaskFile, read_yaml
from smie.new import new_role, new_system
from smie.workspace import Workspace
from tests.conftest import ROOT

NAME = "probe"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Definitions with a new role, a system that uses it, and what they stand on."""
    folder = tmp_path_factory.mktemp("good") / "systems"
    shutil.copytree(ROOT / "systems" / "roles" / "process", folder / "roles" / "process")
    shutil.copytree(ROOT / "systems" / "bases", folder / "bases")
    new_role(Catalog(folder), Workspace(folder / "cache"), NAME)
    new_system(Catalog(folder), "lab", [NAME])
    return folder


@dataclass(frozen=True)
class Fault:
    """A change of one file of the role: `old` becomes `new`; without `old` the text is put at the end."""

    code: str
    file: str
    new: str
    old: str = ""
    says: str = ""
    found_in: str = ""

    def seed(self, systems: Path) -> None:
        path = systems / "roles" / NAME / self.file
        path.parent.mkdir(exist_ok=True)
        text = path.read_text() if path.exists() else ""
        assert self.old in text
        path.write_text(text.replace(self.old, self.new) if self.old else text + self.new)


def task(module: str, arguments: str = "", *keywords: str) -> str:
    """A task at the end of a file."""
    lines = ["", "- name: Do it", f"  {module}:", *(f"    {line}" for line in arguments.splitlines())]
    return "\n".join((*lines, *(f"  {word}" for word in keywords))) + "\n"


def install(code: str, module: str, arguments: str = "", *keywords: str, says: str = "") -> Fault:
    return Fault(code, "tasks/install.yml", task(f"ansible.builtin.{module}", arguments, *keywords), says=says)


def configure(code: str, module: str, arguments: str = "", *keywords: str, says: str = "") -> Fault:
    return Fault(code, "tasks/configure.yml", task(f"ansible.builtin.{module}", arguments, *keywords), says=says)


CHANGED = "changed_when: true"
MAIN, HCL, TEMPLATE, PROGRAM = "tasks/main.yml", "role.hcl", f"templates/{NAME}.json.j2", f"files/{NAME}.py"
INSTALL, CONFIGURE, SERVICE = "tasks/install.yml", "tasks/configure.yml", "tasks/service.yml"
TEMPLATED = task("ansible.builtin.template", f'src: {NAME}.json.j2\ndest: /srv/x\nmode: "0644"')

SEEDED = [
    Fault("definition", HCL, "  colour = 5\n  type     =", "  type     =", says="colour"),
    Fault("definition", HCL, '"debian-31"', '"debian-13"', says='did you mean "debian-13"?'),
    Fault("stale", HCL, '"good morning"', '"hello"', found_in="defaults/main.yml"),
    Fault("id-clash", INSTALL, task("ansible.builtin.user", "name: other\nuid: 950"), says=f"of {NAME}"),
    Fault("id-clash", INSTALL, task("ansible.builtin.group", f"name: {NAME}\ngid: 77"), says="950"),
    Fault("secret-parameter", HCL, 'parameter "admin_password"', 'parameter "greeting"'),
    Fault("unused-parameter", TEMPLATE, '"hello"', "probe_greeting", found_in=HCL),
    Fault("no-file", CONFIGURE, "other.json.j2", f"{NAME}.json.j2", says="templates/other.json.j2"),
    install("no-file", "copy", 'src: "{{ item }}"\ndest: "/srv/{{ item }}"\nmode: "0644"', "loop: [a.txt, b.txt]"),
    Fault("unused-file", "files/forgotten.txt", "nobody installs this\n"),
    Fault("unused-file", "templates/forgotten.j2", "nobody renders this\n"),
    Fault("text", TEMPLATE, "{#\r\n", "{#", says="carriage returns"),
    Fault("text", TEMPLATE, "\ufeff{#", "{#", says="byte order mark"),
    Fault("python", PROGRAM, "def status( -> int:", "def status() -> int:"),
    Fault("python", f"checks/test_{NAME}.py", "assert\n  x =\n"),
    Fault("shebang", PROGRAM, "", "#!/usr/bin/python3\n"),
    Fault("yaml", INSTALL, "- name: [\n", says="not YAML"),
    Fault("yaml", INSTALL, "    mode: '0755'\n    mode: '0644'\n", '    mode: "0755"\n', says="a second time"),
    Fault("yaml", INSTALL, "- name: Nothing at all\n", says="runs no module"),
    Fault("no-name", INSTALL, task("ansible.builtin.meta", "_raw: noop").replace("name: Do it\n  ", "")),
    Fault("short-name", INSTALL, "  copy:", "  ansible.builtin.copy:", says="write ansible.builtin.copy"),
    Fault("unknown-module", INSTALL, "ansible.builtin.coppy", "ansible.builtin.copy", says='"ansible.builtin.copy"?'),
    Fault("unknown-module", INSTALL, task("community.docker.docker_kontainer", "name: x")),
    Fault("unknown-include", INSTALL, "name: proces\n", "name: process\n", says='did you mean "process"?'),
    Fault("unknown-include", SERVICE, "tasks_from: servise", "tasks_from: service", says='did you mean "service"?'),
    install("unknown-include", "include_tasks", "file: more.yml"),
    Fault("unchecked", MAIN, "tasks_from: configure.yml", "tasks_from: configure"),
    Fault("unchecked", MAIN, "\n- name: Do it\n  ansible.builtin.import_tasks: install.yml\n"),
    Fault("no-mode", CONFIGURE, "", '    mode: "0644"\n'),
    install("no-mode", "file", "path: /srv/x\nstate: directory"),
    Fault("bad-mode", CONFIGURE, "mode: 0644", 'mode: "0644"', says='"0644"'),
    install("bad-mode", "file", 'path: /srv/x\nstate: directory\nmode: "0777"', says="everybody"),
    install("bad-mode", "file", "path: /srv/x\nstate: directory\nmode: u=rwx,o=w", says="everybody"),
    install("unpinned", "apt", "name: python3\nstate: latest"),
    install("unpinned", "pip", "name: requests"),
    install("package", "apt", "name: '{{ item }}'", "loop: [python3, tini]", says="one package after the other"),
    install("package", "apt", "name: [python3, haproxy]", says="haproxy"),
    install("network", "get_url", 'url: https://example.org/x\ndest: /srv/x\nmode: "0644"'),
    install("network", "command", "cmd: curl -O https://example.org/x", CHANGED),
    install("network", "shell", "cmd: cd /srv && git clone git@example.org:x", CHANGED),
    install("network", "unarchive", "src: https://example.org/x.tar\ndest: /srv\nremote_src: true"),
    install("network", "apt", "name: python3\nupdate_cache: true"),
    install("network", "apt", "deb: http://example.org/x.deb"),
    install("network", "pip", "name: requests==2.32.3"),
    install("starts", "systemd_service", f"name: {NAME}\nstate: started"),
    install("starts", "service", f"name: {NAME}\nenabled: true"),
    install("starts", "command", f"argv: [systemctl, start, {NAME}]", CHANGED),
    install("starts", "shell", "cmd: nohup sleep 9 &", CHANGED),
    install("changed-when", "command", "cmd: /usr/bin/true"),
    install("hides-errors", "command", "cmd: /usr/bin/true", CHANGED, "ignore_errors: true"),
    install("hides-errors", "command", "cmd: /usr/bin/true", CHANGED, "failed_when: false"),
    install("handler", "command", "cmd: /usr/bin/true", CHANGED, "notify: restart"),
    install("asks-where", "command", "cmd: /usr/bin/true", CHANGED, "when: packer_builder_type == 'docker'"),
    install("asks-where", "command", "cmd: /usr/bin/true", CHANGED, "when: ansible_connection != 'chroot'"),
    Fault("asks-where", TEMPLATE, "{{ 'a' if node_kind == 'vm' else 'b' }}"),
    install("facts", "command", "cmd: /usr/bin/true", CHANGED, "when: ansible_distribution == 'Debian'"),
    Fault("facts", TEMPLATE, "{{ hostvars[node.name] }}"),
    install("parameter-in-install", "copy", 'content: "{{ probe_greeting }}"\ndest: /srv/x\nmode: "0644"'),
    Fault("parameter-in-install", INSTALL, TEMPLATED, says="node is not", found_in=TEMPLATE),
    Fault("undeclared", TEMPLATE, "probe_greating", "probe_greeting", says="probe_greating"),
    Fault("undeclared", CONFIGURE, "{{ roott }}", "{{ root }}", says="roott"),
    install("undeclared", "command", "cmd: /usr/bin/true", CHANGED, "when: not there", says="there"),
    Fault("template", TEMPLATE, "{% if %}{{ node.name }"),
    Fault("not-repeatable", TEMPLATE, "# {{ now() }}", says="the time"),
    Fault("not-repeatable", TEMPLATE, "{{ 99 | random }}", says="chance"),
    configure("not-repeatable", "copy", "content: \"{{ lookup('env', 'USER') }}\"\ndest: '{{ root }}/probe/x'"),
    Fault("secret-shown", TEMPLATE, "{{ lookup('file', '/etc/seter/secrets/probe/key') }}"),
    Fault("secret-shown", SERVICE, task("ansible.builtin.slurp", "src: /etc/seter/secrets/probe/key")),
    Fault("secret-shown", SERVICE, task("ansible.builtin.command", "cmd: cat /etc/seter/secrets/probe/key", CHANGED)),
    configure("configure-acts", "command", "cmd: /usr/bin/true", CHANGED),
    configure("configure-acts", "apt", "name: python3"),
    configure("configure-acts", "copy", "content: x\ndest: '{{ root }}/probe/x'\nmode: '0644'\nowner: root"),
    Fault("outside-root", CONFIGURE, 'dest: "/etc/probe.json"', 'dest: "{{ root }}/probe/probe.json"'),
    Fault("outside-root", CONFIGURE, 'dest: "{{ root }}/probe/../x"', 'dest: "{{ root }}/probe/probe.json"'),
    Fault("service-writes", SERVICE, task("ansible.builtin.copy", "content: x\ndest: /etc/x\nmode: '0644'")),
    Fault("process-left-out", INSTALL, "name: probe\n    tasks_from: main", "name: process\n    tasks_from: install"),
]  # fmt: skip


@pytest.fixture
def systems(good: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(good, tmp_path / "systems"))


def test_a_new_role_and_a_new_system_have_no_fault(good: Path) -> None:
    assert lint(Catalog(good)) == ()


def test_our_own_definitions_have_no_fault() -> None:
    assert [str(finding) for finding in lint(Catalog(ROOT / "systems"))] == []


@pytest.mark.parametrize("fault", SEEDED, ids=lambda fault: f"{fault.code}-{SEEDED.index(fault)}")
def test_a_seeded_fault_is_found_in_its_file(systems: Path, fault: Fault) -> None:
    fault.seed(systems)
    found = lint(Catalog(systems), [NAME])
    mine = [finding for finding in found if finding.code == fault.code]
    assert any(finding.file.endswith(f"/{fault.found_in or fault.file}") for finding in mine), found
    assert any(fault.says in str(finding) for finding in mine), found


def test_missing_files_are_found(systems: Path) -> None:
    role = systems / "roles" / NAME
    shutil.rmtree(role / "checks")
    (role / "tasks" / "service.yml").unlink()
    (role / "meta" / "argument_specs.yml").unlink()
    found = {finding.code: finding for finding in lint(Catalog(systems), [NAME])}
    assert found.keys() >= {"no-check", "no-file", "stale"}
    assert "tasks/service.yml" in found["no-file"].problem


def test_a_file_that_is_no_text_is_found(systems: Path) -> None:
    (systems / "roles" / NAME / TEMPLATE).write_bytes(b"{# \xff #}\n")
    assert "text" in {finding.code for finding in lint(Catalog(systems), [NAME])}


def test_faults_of_a_system_and_its_targets_are_found(systems: Path) -> None:
    target = systems / "lab" / "targets" / "container.hcl"
    target.write_text(target.read_text().replace('nodes "nodes"', 'nodes "knots"'))
    found = lint(Catalog(systems), ["lab"])
    assert {finding.code for finding in found} == {"definition"}
    assert all(finding.file.endswith("container.hcl") for finding in found)


def test_every_kind_of_fault_is_seeded_and_in_the_manual() -> None:
    seeded = {fault.code for fault in SEEDED} | {"no-check"}
    assert seeded == set(FAULTS)
    manual = (ROOT / "smie" / "README.md").read_text()
    assert [code for code, summary in FAULTS.items() if f"| `{code}` | {summary} |" not in manual] == []


def test_all_faults_come_at_once_in_the_order_of_the_files(systems: Path) -> None:
    for fault in (SEEDED[0], install("starts", "service", "name: x"), Fault("not-repeatable", TEMPLATE, "{{ now() }}")):
        fault.seed(systems)
    found = lint(Catalog(systems), [NAME])
    assert {"definition", "starts", "not-repeatable"} <= {finding.code for finding in found}
    assert list(found) == sorted(found)


def test_what_is_installed_in_machines_that_run_alone_may_start_something(systems: Path) -> None:
    install("starts", "service", "name: x").seed(systems)
    hcl = systems / "roles" / NAME / "role.hcl"
    text = hcl.read_text()
    machine = 'image "vm" {\n    base  = "debian-13-host"\n    build = "booted"\n  }'
    hcl.write_text(re.sub(r'image "container" \{.*?\n  \}', machine, text, flags=re.S))
    assert machine in hcl.read_text()
    assert not [finding for finding in lint(Catalog(systems), [NAME]) if finding.code == "starts"]


def test_a_name_that_is_not_there_is_bad_input(good: Path) -> None:
    with pytest.raises(BadInput) as caught:
        lint(Catalog(good), ["prope"])
    assert 'id you mean "probe"?' in caught.value.resolution


def test_a_finding_says_place_kind_fault_and_remedy() -> None:
    assert str(Finding("a.yml", 3, "no-name", "it has none", "give one")) == "a.yml:3: no-name: it has none (give one)"
    assert str(Finding("a.yml", 0, "text", "bad", "mend")) == "a.yml: text: bad (mend)"


def test_the_line_is_that_of_the_fault(systems: Path) -> None:
    path = systems / "roles" / NAME / INSTALL
    path.write_text(path.read_text() + task("ansible.builtin.apt", "name: python3\nstate: latest"))
    (found,) = [finding for finding in lint(Catalog(systems), [NAME]) if finding.code == "unpinned"]
    assert path.read_text().splitlines()[found.line - 1].strip() == "state: latest"


def test_keywords_of_tasks_are_those_of_ansible() -> None:
    theirs = set(Handler.fattributes) | set(Block.fattributes) | {"local_action"}
    ours_alone = {"loop_with", "async_val"}  # how Ansible keeps `with_…` and `async` inside
    assert theirs - ours_alone - {"collections"} <= KEYWORDS
    assert theirs >= KEYWORDS


def test_tasks_in_blocks_are_read(tmp_path: Path) -> None:
    path = tmp_path / "install.yml"
    path.write_text("- name: All\n  block:\n    - name: One\n      a.b.c: {x: 1}\n  rescue:\n    - a.b.d: y\n")
    read = TaskFile.read(path)
    assert [(task.name, task.module, task.line) for task in read.tasks] == [("One", "a.b.c", 3), ("", "a.b.d", 6)]
    assert read.tasks[1].text("_raw") == "y"


def test_yaml_of_any_kind_is_read_without_running_it() -> None:
    content, faults = read_yaml("a: !vault |\n  secret\nb: 2026-11-29\nc: ~\nd: 0644\n")
    assert content == {"a": "secret\n", "b": "2026-11-29", "c": None, "d": 420}
    assert faults == []


def test_variables_of_a_template_are_those_that_it_does_not_set() -> None:
    read = reading("{% set a = b %}\n{% for c in d %}{{ c.x | f(e) }}{{ range(a) }}{% endfor %}{{ lookup('x') }}")
    assert read.variables == {"b": 1, "d": 2, "e": 2}
    assert set(read.calls) == {"range", "lookup"} and set(read.filters) == {"f"}
    assert reading("{% if %}").error is not None
