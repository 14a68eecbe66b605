"""Rules for what lies in a role's folder: definitions, generated files, programs, templates, texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from common.role import ParameterType
from common.specs import generated_for
from smie.lint.everywhere import asks_of_template
from smie.lint.expressions import Reading, spelt_out
from smie.lint.finding import Finding, Found
from smie.lint.folder import OF_ANSIBLE, OF_INSTALL, Folder, House
from smie.lint.phases import template_rules
from smie.lint.tasks import Task, strings

TEXTS = (".yml", ".yaml", ".hcl", ".j2", ".py", ".md", ".conf", ".json", ".sh")
_SECRET_NAME = re.compile(r"(^|_)(password|passwd|passphrase|secret|token|private_key|credentials?)($|_)")
_LOADERS = ("copy", "template", "script", "unarchive", "assemble")
_CARETAKERS = ("__pycache__",)


def rules(house: House, folder: Folder) -> Found:
    """All of them."""
    yield from _texts(house, folder.path)
    yield from _phases(house, folder)
    yield from _sources(house, folder)
    yield from _unused_files(house, folder)
    yield from _parameters(house, folder)
    yield from _stale(house, folder)
    yield from _variables(house, folder)
    yield from template_rules(house, folder)


def _contents(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not set(path.parts) & set(_CARETAKERS):
            yield path


def _texts(house: House, folder: Path) -> Found:
    for path in _contents(folder):
        data = path.read_bytes()
        if path.suffix in TEXTS or b"\0" not in data[:8000]:
            yield from text_rules(house, path, data)
        if path.suffix == ".py":
            yield from _compiles(house, path, data)


def text_rules(house: House, path: Path, data: bytes) -> Found:
    """Rules for the bytes of a text."""
    remedy = "save it as UTF-8 with plain newlines"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        yield house.found(path, line, "text", "is not UTF-8", remedy)
    if data.startswith(b"\xef\xbb\xbf"):
        yield house.found(path, 1, "text", "begins with a byte order mark", remedy)
    if b"\r\n" in data:
        line = data.count(b"\n", 0, data.index(b"\r\n")) + 1
        yield house.found(path, line, "text", "has carriage returns", remedy)


def _compiles(house: House, path: Path, data: bytes) -> Found:
    try:
        compile(data, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        problem = f"does not compile: {getattr(error, 'msg', error)}"
        yield house.found(path, line, "python", problem, "mend it; python3 -m py_compile shows more")


def _phases(house: House, folder: Folder) -> Found:
    role = folder.role
    if role is None:
        return
    wanted = {
        "main": (True, "roles: [NAME] does not work without it"),
        "install": (bool(role.images), "the image cannot be built"),
        "configure": (bool(role.parameters), "nobody reads the parameters"),
        "service": (role.process is not None, "the process does not run"),
    }
    for phase, (needed, why) in wanted.items():
        if needed and phase not in folder.files:
            problem = f"there is no tasks/{phase}.yml: {why}"
            yield house.found(folder.path / "role.hcl", 0, "no-file", problem, "write it; smie new role shows how")
    if role.images and not list((folder.path / "checks").glob("test_*.py")):
        problem = "there is no checks/test_*.py: nothing says what the image must be"
        yield house.found(folder.path / "role.hcl", 0, "no-check", problem, "write one; smie new role shows how")


def _sources(house: House, folder: Folder) -> Found:
    for task in folder.tasks:
        if task.module not in _LOADERS or not task.text("src") or task.arguments.get("remote_src") is True:
            continue
        below = "templates" if task.module == "template" else "files"
        for name in spelt_out(task.text("src"), task) or ():
            path = folder.path / below / name
            if not name.startswith("/") and "://" not in name and not path.exists():
                problem = f"there is no {below}/{name}"
                yield house.found(task.file, task.line_of("src"), "no-file", problem, f"write {below}/{name}")
            elif task.module == "copy" and path.is_file():
                yield from _program(house, task, path)


def _program(house: House, task: Task, path: Path) -> Found:
    """What is installed with an execute bit has to say what runs it."""
    mode, data = task.arguments.get("mode"), path.read_bytes()
    runs = isinstance(mode, str) and re.fullmatch(r"[0-7]{3,4}", mode) and int(mode, 8) & 0o111
    if runs and not data.startswith((b"#!", b"\x7fELF")):
        problem = f"is installed as a program ({task.file.name}) and does not begin with #!"
        yield house.found(path, 1, "shebang", problem, "begin it with #!/usr/bin/python3 or what runs it")


def _unused_files(house: House, folder: Folder) -> Found:
    for below, modules in (("files", ("copy", "script", "unarchive", "assemble")), ("templates", ("template",))):
        named = [spelt_out(task.text("src"), task) for task in folder.tasks if task.module in modules]
        if None in named:  # a name that only Ansible knows
            continue
        known = {name.rstrip("/") for names in named for name in names or ()}
        for path in _contents(folder.path / below):
            name = path.relative_to(folder.path / below)
            if not {name.as_posix(), *(above.as_posix() for above in name.parents)} & known:
                remedy = "install it, or remove it: it counts into the recipe" if below == "files" else "remove it"
                yield house.found(path, 0, "unused-file", "no task names it", remedy)


def _parameters(house: House, folder: Folder) -> Found:
    if folder.role is None:
        return
    read = {name for each in house.readers(folder) for name in each.variables}
    read |= {
        folder.role.variable_prefix + name for secret in folder.role.secrets for name in (*secret.names, secret.given)
    }
    read |= {folder.role.variable_prefix + name for opening in folder.role.openings for name in opening.sources}
    for parameter in folder.role.parameters:
        path, line = folder.path / "role.hcl", parameter.place.line
        if folder.role.variable_prefix + parameter.name not in read:
            problem = f"nobody reads the parameter {parameter.name}"
            yield house.found(path, line, "unused-parameter", problem, "use it in a template, or take it out")
        if _SECRET_NAME.search(parameter.name) and parameter.type is ParameterType.TEXT:
            problem = f"the parameter {parameter.name} looks like a secret, and parameters are written down"
            yield house.found(path, line, "secret-parameter", problem, f'write secret "{parameter.name}" {{ … }}')


def _stale(house: House, folder: Folder) -> Found:
    if folder.role is None:
        return
    for path, text in generated_for(folder.role).items():
        if not path.exists() or path.read_text(errors="replace") != text:
            problem = "is not what role.hcl gives" if path.exists() else "is not there"
            yield house.found(path, 0, "stale", problem, "run python -m common.specs")


def _variables(house: House, folder: Folder) -> Found:
    installing = OF_INSTALL | OF_ANSIBLE | folder.own_variables
    everything = house.known(folder) | OF_INSTALL
    templates = {name: folder.path / "templates" / name for name in folder.templates}
    for name, path in templates.items():
        yield from _read(house, folder, path, folder.templates[name], everything)
    for task in folder.tasks:
        known = everything if folder.phase_of(folder.files[task.file.stem]) != "install" else everything | installing
        yield from _read(house, folder, task.file, folder.reading(task), known, task.line)


def _read(
    house: House, folder: Folder, path: Path, read: Reading, known: Iterable[str], line: int = 0
) -> Iterator[Finding]:
    if read.error:
        problem = f"cannot be parsed: {read.error[1]}"
        yield house.found(path, read.error[0] or line, "template", problem, "mend the expression")
    asked = {(finding.line, finding.problem.split()[0]) for finding in asks_of_template(house, folder, path, read)}
    if not line:
        yield from asks_of_template(house, folder, path, read)
        yield from _secrets_of(house, path, read)
    for name, where in read.variables.items():
        if name not in known and (where, name) not in asked:
            problem = f"{name} is declared by nobody"
            remedy = "declare it as a parameter in role.hcl, or is it misspelt?"
            yield house.found(path, where, "undeclared", problem, remedy)


def _secrets_of(house: House, path: Path, read: Reading) -> Found:
    for line_number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if "/etc/seter/secrets" in line and re.search(r"\b(lookup|query|q)\(", line):
            problem = "holds the value of a secret, which then is in every rendered tree"
            yield house.found(path, line_number, "secret-shown", problem, "let the program read the file by its path")


def ids(house: House, folders: Iterable[Folder]) -> Found:
    """Users and groups with their numbers: in all roles a name has one number, and a number one name."""
    names: dict[int, tuple[str, str]] = {}
    numbers: dict[str, tuple[int, str]] = {}
    for folder in folders:
        for path, line, name, number in _claims(folder):
            shown = f"{house.catalog.shown(path)}:{line}"
            other, where = names.setdefault(number, (name, shown))
            if other != name:
                problem = f"{name} has the number {number} of {other} ({where})"
                yield house.found(path, line, "id-clash", problem, "give it a number of its own, below 1000")
            taken, where = numbers.setdefault(name, (number, shown))
            if taken != number:
                problem = f"{name} has the number {number} here and {taken} in {where}"
                yield house.found(path, line, "id-clash", problem, "make them agree")


def _claims(folder: Folder) -> Iterator[tuple[Path, int, str, int]]:
    process = folder.role.process if folder.role else None
    if process and process.user != "root":
        line = dict(process.places).get("uid", process.place).line
        yield folder.path / "role.hcl", line, process.user, process.uid
    for task in folder.tasks:
        key = {"user": "uid", "group": "gid"}.get(task.module, "")
        number = task.arguments.get(key) if key else None
        if isinstance(number, str) and number.isdigit():
            number = int(number)
        if isinstance(number, int) and not isinstance(number, bool):
            for name in strings(task.arguments.get("name")):
                yield task.file, task.line_of(key), name, number
