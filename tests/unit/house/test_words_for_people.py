"""What people read says what happened; the name of an exception is for the log (finding O13)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.shared_data import ROOT

NAMES_OF_CAUGHT = {"error", "again", "second", "exception", "failure"}
"""What caught exceptions are called here."""
ALLOWED = {
    ("node/items.py", "place_of"): "for the log",
    ("node/app/failing.py", "_record"): "for the log",
    ("node/app/workers.py", "_failed"): "for the log",
    ("node/observe/logs.py", "emit"): "the log itself",
    ("node/observe/logs.py", "_text"): "the log itself",
    ("node/results/object_set.py", "_why"): "reasons.txt, which is kept for the maker of the program",
    ("plugins/pacsnode_exchange.py", "main"): "the same, of a program that speaks the exchange by this file",
    ("plugins/starting.py", "problem_of"): "the exception of a plugin, for its author",
    ("plugins/worker.py", "run"): "the exception of a plugin, for its author",
}
FOR_THE_LOG = {"place_of", "frames_of"}


def _names_an_exception(node: ast.AST) -> bool:
    """`type(error).__name__`, `error.__class__.__name__`, `place_of(error)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FOR_THE_LOG:
        return True
    text = ast.unparse(node) if isinstance(node, ast.Attribute) and node.attr == "__name__" else ""
    return any(text in (f"type({name}).__name__", f"{name}.__class__.__name__") for name in NAMES_OF_CAUGHT)


def _is_a_log_call(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    return isinstance(node.func.value, ast.Name) and node.func.value.id == "log"


def mistakes(file: str, source: str) -> Iterator[str]:
    """`file:line` of each name of an exception that is not an argument of a log call, or in an allowed function."""

    def search(node: ast.AST, function: str) -> Iterator[str]:
        if _is_a_log_call(node):
            return
        if isinstance(node, ast.FunctionDef):
            function = node.name
        if _names_an_exception(node) and (file, function) not in ALLOWED:
            yield f"{file}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)} in {function}"
        for child in ast.iter_child_nodes(node):
            yield from search(child, function)

    yield from search(ast.parse(source), "")


def test_finding_o13_no_text_that_people_read_names_an_exception() -> None:
    """An admin gets what happened and where to look; the log has the class and the frames."""
    files = sorted(path for room in ("node", "plugins") for path in (ROOT / room).rglob("*.py"))
    found = [each for path in files for each in mistakes(_relative(path), path.read_text())]
    assert found == []


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_it_finds_what_it_looks_for() -> None:
    """In a text, and by way of the place; not in a log call."""
    said = "def f(error):\n    raise ValueError(f'no: {type(error).__name__}')"
    assert len(list(mistakes("node/a.py", said))) == 1
    assert len(list(mistakes("node/a.py", "def f(error):\n    return place_of(error)"))) == 1
    assert list(mistakes("node/a.py", "def f(error):\n    log.error('a.b', error=type(error).__name__)")) == []
