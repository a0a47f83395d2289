"""A function fits a screen, and a file has one idea."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

FUNCTION = 40
"""Lines of a function, its docstring not counted."""
FILE = 400

LONG_FUNCTIONS: dict[str, str] = {}
LONG_FILES = {
    "node/ledger/event_kinds.py": "a table: one entry for each kind of event, all of one enumeration",
    "plugins/pacsnode_exchange.py": "what older interpreters copy as one file, which can import no other",
}
"""What is longer, and why it is better so."""


def files() -> Iterator[tuple[str, str]]:
    """Path and text of every file of the three packages."""
    for room in ("node", "rules", "plugins"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the last statement, without the docstring."""
    first = function.body[0]
    is_docstring = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if is_docstring else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


@cache
def long_functions() -> dict[str, int]:
    """`file:function` → its lines, of every function that does not fit."""
    return {
        f"{path}:{each.name}": length(each)
        for path, text in files()
        for each in ast.walk(ast.parse(text))
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and length(each) > FUNCTION
    }


def long_files() -> dict[str, int]:
    """File → its lines, of every file that has too many."""
    lines = {path: len(text.splitlines()) for path, text in files()}
    return {path: number for path, number in lines.items() if number > FILE}


def test_a_function_fits_a_screen() -> None:
    """No function has more than 40 lines, but for those that are named here with the reason."""
    assert {name: lines for name, lines in long_functions().items() if name not in LONG_FUNCTIONS} == {}


def test_a_file_has_one_idea() -> None:
    """No file has more than 400 lines, but for those that are named here with the reason."""
    assert {name: lines for name, lines in long_files().items() if name not in LONG_FILES} == {}


def test_every_exception_is_still_long() -> None:
    """What was made shorter leaves its list."""
    assert (LONG_FUNCTIONS.keys() - long_functions(), LONG_FILES.keys() - long_files()) == (set(), set())
