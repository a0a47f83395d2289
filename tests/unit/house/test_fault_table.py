"""docs/reliability.md says what is tested, and nothing else."""

from __future__ import annotations

import ast

from tests.support.faults.fault_table import CASES, PAGE, fault_tests, page_with, table
from tests.support.shared_data import ROOT

KNOWN = {number for cases in CASES.values() for number in cases}
STORING = {str(number) for number in range(1, 61)} | {"33b", "47b"}
"""The cases that concern receiving, storing and indexing."""


def test_the_page_is_what_the_tests_say() -> None:
    """Write it anew with `python -m tests.support.faults.fault_table`."""
    assert page_with(table()) == PAGE.read_text()


def test_a_number_in_a_tests_name_is_a_case() -> None:
    """A test of case 300 is a slip of the pen."""
    assert [test.name for test in fault_tests() if not set(test.cases) <= KNOWN] == []


def test_every_case_of_receiving_storing_and_indexing_has_a_test() -> None:
    """1 to 60: none is only promised."""
    assert sorted(STORING - {case for test in fault_tests() for case in test.cases}) == []


def test_every_test_of_a_case_says_what_it_shows() -> None:
    """Its docstring is the page's text."""
    assert [test.name for test in fault_tests() if not test.claim] == []


def test_no_test_of_a_case_sleeps() -> None:
    """They wait on conditions that have a deadline (`tests.support.wait`); `time.sleep` is nowhere in their files."""
    sleepers = [
        f"{path}:{part.lineno}"
        for path in sorted({test.path for test in fault_tests()})
        for part in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(part, ast.Attribute) and part.attr == "sleep"
    ]
    assert sleepers == []
