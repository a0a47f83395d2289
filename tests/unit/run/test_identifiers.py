"""What names the patient in a text."""

from __future__ import annotations

import pytest

from node.run.identifiers import Identifiers

WHO = Identifiers(
    frozenset({"Doe^Anna Maria^van", "Hong^Gildong=洪^吉洞=홍^길동", "Madonna", "Li"}),
    frozenset({"12345", "AB-77.1", "4711"}),
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Doe, Anna Maria van: fine", "…: fine"),
        ("anna  maria DOE", "…"),
        ("Doe^Anna Maria", "…"),
        ("Doe alone, Anna Maria alone", "Doe alone, Anna Maria alone"),
        ("홍길동의 폐, 洪吉洞", "…의 폐, …"),
        ("Hongkong, Gildonger", "Hongkong, Gildonger"),
        ("Madonna; Li has lived", "…; Li has lived"),
        ("ID 12345, 123456, 4711", "ID …, 123456, 4711"),
        ("ab-77.1 and AB-77x1", "… and AB-77x1"),
        ("", ""),
    ],
)
def test_complete_names_and_long_numbers_are_replaced(text: str, left: str) -> None:
    """In either order, in any case and script; parts of a name, short numbers and longer words are not the patient."""
    assert WHO.without(text) == left


def test_a_text_never_gets_longer() -> None:
    """So a summary that was short enough stays so."""
    texts = ("Doe Anna Maria", "홍길동", "洪吉洞", "Madonna", "12345")
    assert all(len(WHO.without(each)) < len(each) for each in texts)
