"""Jinja in templates and tasks: which variables are read, which functions and filters used. Jinja's own parser reads
it (`jinja2.meta`); nothing is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

from jinja2 import Environment, TemplateSyntaxError, meta, nodes
from jinja2.defaults import DEFAULT_NAMESPACE

from smie.lint.tasks import Task, Value, strings

BARE = ("when", "until", "changed_when", "failed_when")  # keywords whose text is an expression without braces


class _Every(dict[str, Callable[..., object]]):
    """Ansible has more filters and tests than Jinja; which there are is not what we look at."""

    def get(self, key: str, default: object = None) -> Callable[..., object]:
        return str


def _environment() -> Environment:
    # Ansible's: ansible/_internal/_templating/_jinja_bits.py of ansible-core 2.19.
    made = Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"], trim_blocks=True, autoescape=False)
    for name in ("filters", "tests"):
        setattr(made, name, _Every(getattr(made, name)))
    return made


_JINJA = _environment()
GLOBALS = frozenset(DEFAULT_NAMESPACE) | {"lookup", "query", "q", "now", "undef", "omit"}


@dataclass(slots=True)
class Reading:
    """What a text reads, by name with the line of its first use. `error` is a line and what the parser says."""

    variables: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    filters: dict[str, int] = field(default_factory=dict)
    error: tuple[int, str] | None = None

    def add(self, other: Reading, line: int) -> None:
        """What another text reads, which stands in this line."""
        for mine, theirs in (
            (self.variables, other.variables),
            (self.calls, other.calls),
            (self.filters, other.filters),
        ):
            for name in theirs:
                mine.setdefault(name, line)
        if other.error and not self.error:
            self.error = (line, other.error[1])


@cache
def reading(text: str) -> Reading:
    """What a template reads. Everybody gets the same one: it is not to be changed."""
    made = Reading()
    if "{" not in text:
        return made
    try:
        tree = _JINJA.parse(text)
        free = meta.find_undeclared_variables(tree) - GLOBALS
    except TemplateSyntaxError as error:
        made.error = (error.lineno, error.message or "syntax error")
        return made
    for name in tree.find_all(nodes.Name):
        if name.name in free and name.ctx == "load":
            made.variables.setdefault(name.name, name.lineno)
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name):
            made.calls.setdefault(call.node.name, call.lineno)
    for used in tree.find_all(nodes.Filter):
        made.filters.setdefault(used.name, used.lineno)
    return made


def of_task(task: Task) -> Reading:
    """What a task reads, in its arguments and its keywords."""
    made = Reading()
    for key, text in _texts(task):
        made.add(reading(text), task.line_of(key))
    return made


def _texts(task: Task) -> Iterator[tuple[str, str]]:
    for key, value in task.words.items():
        if key == task.written or key == "args":
            continue
        bare = key in BARE or (key == "that")
        yield from ((key, f"{{{{ {text} }}}}" if bare and "{{" not in text else text) for text in strings(value))
    for key, value in task.arguments.items():
        bare = (task.module == "assert" and key == "that") or (task.module == "debug" and key == "var")
        yield from ((key, f"{{{{ {text} }}}}" if bare else text) for text in strings(value))


def items(task: Task) -> tuple[str, ...] | None:
    """What `item` stands for, where the loop is a list of plain texts; None where nobody can know."""
    loop: Value = task.words.get("loop", task.words.get("with_items"))
    if isinstance(loop, list) and all(isinstance(each, str) and "{{" not in each for each in loop):
        return tuple(str(each) for each in loop)
    return None


def spelt_out(text: str, task: Task) -> tuple[str, ...] | None:
    """The text for each item of the task's loop; None where it holds other variables."""
    if "{{" not in text:
        return (text,)
    known = items(task)
    if known is None:
        return None
    spelt = tuple(text.replace("{{ item }}", item).replace("{{item}}", item) for item in known)
    return None if any("{{" in each for each in spelt) else spelt
