"""The texts of a new role or base: small, working, with a comment wherever a person goes on. Pure.

The service of a new role is a program of its own, so that everything can be tried before the real one is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.role import RoleType
from common.values import shown

LIBRARY = "/usr/local/lib/seter"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the new role is to be. `programs` are those of its software; without any it gets one of its own."""

    name: str
    type: RoleType = RoleType.SERVICE
    package: str = ""
    software: str = ""
    sha256: str = ""
    programs: tuple[str, ...] = ()
    uid: int = 0
    port: int = 0

    @property
    def variable(self) -> str:
        """Start of its variables."""
        return self.name.replace("-", "_")

    @property
    def has_process(self) -> bool:
        """Whether something of it runs."""
        return self.type is not RoleType.COMPONENT

    @property
    def program(self) -> str:
        """What is run, in the image."""
        return f"/usr/local/bin/{self.programs[0]}" if self.programs else f"{LIBRARY}/{self.name}"


def role(wish: Wish) -> Mapping[str, str]:
    """Every file of a role by its path in the role's folder; what is generated from role.hcl is not among them."""
    files = {"role.hcl": _role_hcl(wish), "tasks/install.yml": _install(wish), "tasks/main.yml": _main(wish)}
    files[f"checks/test_{wish.variable}.py"] = _check(wish)
    if not wish.programs:
        files[f"files/{wish.variable}.py"] = _program(wish)
    if wish.has_process:
        files["tasks/configure.yml"] = _CONFIGURE.replace("NAME", wish.name)
        files["tasks/service.yml"] = _SERVICE
        files[f"templates/{wish.name}.json.j2"] = _TEMPLATE.replace("VARIABLE", wish.variable)
    return files


def _role_hcl(wish: Wish) -> str:
    lines = [
        "# systems/REFERENCE.md lists every block and attribute; smie lint says what is wrong with this role.",
        f'role "{wish.name}" {{',
        f'  type     = "{wish.type}"',
        '  summary  = "Says in one line what it is for"  # change this',
    ]
    if wish.software:
        lines += [f'  software = "{wish.software}"', f'  sha256   = "{wish.sha256}"']
    packages = [name for name in (wish.package, "" if wish.programs else "python3") if name]
    if packages:
        lines.append(f"  packages = {shown(tuple(packages))}  # Debian's; smie takes the versions from its index")
    lines += ["", '  image "container" {', '    base = "debian-13"', "  }"]
    if wish.has_process:
        lines += ["", *_PARAMETER.replace("VARIABLE", wish.variable).splitlines(), "", *_process(wish)]
    return "\n".join((*lines, "}")) + "\n"


def _process(wish: Wish) -> list[str]:
    own = not wish.programs
    file = f"/etc/seter/now/{wish.name}/{wish.name}.json"
    command = (wish.program, "run", file) if own else (wish.program,)
    hint = () if own else (f"    # Add its options. What configure.yml writes is {file} on the node.",)
    lines = [
        "  # One process: a systemd unit on a host, a container beside others. Both are made from this block.",
        "  process {",
        *hint,
        f"    command     = {shown(command)}",
        f'    user        = "{wish.name}"',
        f"    uid         = {wish.uid}",
        *([f"    listens     = [{wish.port}]"] if wish.type is RoleType.ENDPOINT else []),
        f'    reads       = ["/etc/seter/now/{wish.name}"]',
        f'    writes      = ["/run/{wish.name}"]',
    ]
    if own:
        check = (wish.program, "check", f"{{root}}/{wish.name}/{wish.name}.json")
        lines.append(f"    validate    = {shown(check)}  # before new files count")
    lines += ['    on_change   = "restart"', '    stop_within = "5s"', "  }"]
    if own:
        status = shown((wish.program, "status"))
        lines += ["  status {", f"    command = {status}  # JSON that seter status shows", "  }"]
        lines += ['  check "serves" {', f"    command = {status}", '    within  = "10s"', "  }"]
    return lines


_PARAMETER = """\
  # What a system can tell the role: VARIABLE_greeting in templates. Without a default it has to be said.
  parameter "greeting" {
    type    = "text"
    summary = "What it says"
    default = "hello"
  }"""

_CONFIGURE = """\
---
# Runs on the operator's machine, once a node. It writes below root, and does nothing else.
- name: Write what it reads
  ansible.builtin.template:
    src: NAME.json.j2
    dest: "{{ root }}/NAME/NAME.json"
    mode: "0644"
"""

_SERVICE = """\
---
- name: Run the process
  ansible.builtin.include_role:
    name: process
    tasks_from: service
"""

_TEMPLATE = """\
{# Parameters, node, groups_of and deployment are known here. A secret is not: programs read it from its file. #}
{{ {"greeting": VARIABLE_greeting, "node": node.name} | to_nice_json }}
"""


def _install(wish: Wish) -> str:
    parts = ["---\n# Runs while the image is built, without network: what it needs is named in role.hcl.\n" + _PACKAGES]
    if wish.programs:
        parts += [_SOFTWARE.replace("PROGRAM", name) for name in wish.programs]
    else:
        parts.append(_OWN.replace("LIBRARY", LIBRARY).replace("VARIABLE", wish.variable).replace("NAME", wish.name))
    return "\n".join(parts)


_PACKAGES = """\
- name: Install packages and make the user
  ansible.builtin.include_role:
    name: process
    tasks_from: install
"""

_SOFTWARE = """\
- name: Install PROGRAM
  ansible.builtin.copy:
    src: "{{ software }}/PROGRAM"
    dest: /usr/local/bin/PROGRAM
    remote_src: true
    mode: "0755"
"""

_OWN = """\
- name: Make the folder of our programs
  ansible.builtin.file:
    path: LIBRARY
    state: directory
    mode: "0755"

- name: Install the program
  ansible.builtin.copy:
    src: VARIABLE.py
    dest: LIBRARY/NAME
    mode: "0755"
"""


def _main(wish: Wish) -> str:
    phases = [("Install what it runs", "install")]
    if wish.has_process:
        phases += [("Write what it reads", "configure"), ("Run it", "service")]
    tasks = (
        f"- name: {title}\n  ansible.builtin.import_role:\n    name: {wish.name}\n    tasks_from: {phase}\n"
        for title, phase in phases
    )
    return "---\n" + "\n".join(tasks)


def _check(wish: Wish) -> str:
    text = _CHECK.replace("NAME", wish.name).replace("PROGRAM", wish.program)
    if wish.has_process:
        text += _CHECK_USER.replace("NAME", wish.name).replace("UID", str(wish.uid))
    if wish.package:
        text += _CHECK_PACKAGE.replace("PACKAGE", wish.package)
    if not wish.programs and wish.has_process:
        text += _CHECK_CONFIGURATION.replace("PROGRAM", wish.program)
    return text


_CHECK = '''\
"""What the image of NAME must be. smie runs this in the started image; `host` is of pytest-testinfra."""

from testinfra.host import Host


def test_the_program_is_there_and_may_be_run(host: Host) -> None:
    program = host.file("PROGRAM")
    assert program.is_file
    assert program.mode == 0o755
'''

_CHECK_USER = """

def test_it_runs_as_a_user_of_its_own(host: Host) -> None:
    assert host.user("NAME").uid == UID
"""

_CHECK_PACKAGE = """

def test_the_package_is_installed(host: Host) -> None:
    assert host.package("PACKAGE").is_installed
"""

_CHECK_CONFIGURATION = """

def test_a_configuration_without_a_greeting_is_refused(host: Host) -> None:
    assert host.run("PROGRAM check /dev/null").rc != 0
"""


def _program(wish: Wish) -> str:
    if not wish.has_process:
        return _TOOL.replace("NAME", wish.name)
    serving = _ENDPOINT if wish.type is RoleType.ENDPOINT else _LOOP
    text = _HEAD.replace("IMPORTS", serving[0]) + serving[1] + _TAIL
    return text.replace("NAME", wish.name).replace("PORT", str(wish.port))


_TOOL = '''\
#!/usr/bin/python3
"""NAME: stands here until the real thing does."""

from __future__ import annotations


def main() -> int:
    """Say that it is there."""
    print("NAME is installed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
'''

_HEAD = '''\
#!/usr/bin/python3
"""NAME: stands in for the real service until that is there. `run FILE`, `check FILE` or `status`."""

from __future__ import annotations

import json
import sys
IMPORTS
from pathlib import Path

STATE = Path("/run/NAME/state.json")


def greeting(file: Path) -> str:
    """What the configuration says. Raises ValueError, KeyError, OSError."""
    return str(json.loads(file.read_text())["greeting"])


'''

_LOOP = (
    "import time",
    '''\
def run(file: Path) -> int:
    """Greet every second, in a file under /run."""
    said = greeting(file)
    STATE.parent.mkdir(exist_ok=True)
    while True:
        STATE.write_text(json.dumps({"summary": f"says {said}"}))
        time.sleep(1)
''',
)

_ENDPOINT = (
    "from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer",
    '''\
class Greeter(BaseHTTPRequestHandler):
    """Answers every GET with the greeting."""

    said = b""

    def do_GET(self) -> None:
        """One answer."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.said)))
        self.end_headers()
        self.wfile.write(self.said)


def run(file: Path) -> int:
    """Greet whoever asks, by HTTP."""
    Greeter.said = greeting(file).encode()
    STATE.parent.mkdir(exist_ok=True)
    server = ThreadingHTTPServer(("", PORT), Greeter)
    STATE.write_text(json.dumps({"summary": "listens at PORT"}))
    server.serve_forever()
    return 0
''',
)

_TAIL = '''

def status() -> int:
    """Print how it is; 1 when it does not run."""
    if not STATE.exists():
        print(json.dumps({"summary": "does not run"}))
        return 1
    print(STATE.read_text())
    return 0


def main(words: list[str]) -> int:
    """One of the three words, and a file."""
    if words == ["status"]:
        return status()
    if len(words) != 2 or words[0] not in ("run", "check"):
        print("NAME run FILE | check FILE | status", file=sys.stderr)
        return 2
    try:
        said = greeting(Path(words[1]))
    except (OSError, ValueError, KeyError) as error:
        print(f"NAME: {words[1]} is no configuration: {error}", file=sys.stderr)
        return 1
    if words[0] == "check":
        print(f"it says {said}")
        return 0
    return run(Path(words[1]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
'''


def base(name: str) -> str:
    """The text of a base."""
    return f"""\
base "{name}" {{
  summary = "Says in one line what it is for"  # change this
  suite   = "trixie"
  # Beside the essential ones. Ansible needs the two of Python, a supervised process tini.
  packages = [
    "ca-certificates",
    "python3",
    "python3-apt",
    "tini",
  ]
}}
"""
