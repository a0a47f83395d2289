"""What the node itself says of the limits of an analysis is read in the language of the destination."""

from __future__ import annotations

import string

import pytest

from node.own_notes import OwnNote
from node.results.texts import ENGLISH, KOREAN


def filled(note: OwnNote) -> str:
    """The sentence with something in each of its places."""
    names = [name for _, name, *_ in string.Formatter().parse(note) if name]
    return note.format(**dict.fromkeys(names, "{x} 7 (a.b)"))


@pytest.mark.parametrize("note", OwnNote)
def test_each_sentence_is_said_in_each_language(note: OwnNote) -> None:
    """With the same things in its places; in English it stays as it was kept."""
    assert ENGLISH.note(filled(note)) == filled(note)
    korean = KOREAN.note(filled(note))
    assert korean.isascii() is False
    assert korean.count("{x} 7 (a.b)") == filled(note).count("{x} 7 (a.b)")


def test_the_reason_in_a_sentence_is_translated_too() -> None:
    """Not only what surrounds it."""
    kept = OwnNote.NOT_SENT.format(number=2, why=OwnNote.ANOTHER_PATIENT)
    assert kept == "Not sent: object 2 of the program: it belongs to another patient."
    assert KOREAN.note(kept) == "전송하지 않음: 프로그램의 객체 2: 다른 환자의 객체임."


def test_what_a_plugin_says_stays_in_its_words() -> None:
    """Nobody guesses at a translation."""
    assert KOREAN.note("Motion in the upper slices.") == "Motion in the upper slices."
    assert KOREAN.note("Two\nlines.") == "Two\nlines."
