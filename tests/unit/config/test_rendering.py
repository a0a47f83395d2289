"""Problems look as a compiler's do."""

from __future__ import annotations

from node.config.problems import Place, Problem


def test_the_caret_underlines_the_value() -> None:
    """Place, path and words; the line with its number; `^~~~` as wide as the value."""
    place = Place("config.yaml", 41, 10, 11, "    run: lung-densty")
    problem = Problem(place, "rules[2].run", 'there is no plugin "lung-densty"', "lung-density")
    assert str(problem).splitlines() == [
        'config.yaml:41:10: rules[2].run: there is no plugin "lung-densty"; did you mean "lung-density"?',
        "   41 |     run: lung-densty",
        "      |          ^~~~~~~~~~~",
    ]


def test_wide_characters_before_the_place_move_the_caret() -> None:
    """A Hangul syllable takes two columns in a terminal."""
    problem = Problem(Place("c.yaml", 1, 5, 2, "이름: 값값"), "", "wrong")
    _, line, caret = str(problem).splitlines()
    assert line == "    1 | 이름: 값값"
    assert caret == "      |       ^~~~"


def test_a_long_line_is_cut_around_the_place() -> None:
    """The place is in what is shown."""
    source = "x" * 300 + "HERE" + "y" * 300
    _, line, caret = str(Problem(Place("c.yaml", 1, 301, 4, source), "", "wrong")).splitlines()
    start, end = caret.index("^"), caret.rindex("~") + 1
    assert line[start:end] == "HERE"
    assert len(line) < 120


def test_a_file_as_a_whole_has_no_line() -> None:
    """`config.yaml: is empty`, without a caret."""
    assert str(Problem(Place("config.yaml", 0, 0), "", "is empty")) == "config.yaml: is empty"


def test_control_characters_of_a_file_do_not_reach_the_terminal() -> None:
    """An escape sequence in a key is shown, not obeyed."""
    problem = Problem(Place("c.yaml", 1, 1, 3, "a\x1b[31m: 1"), "a\x1b[31m", 'there is no key "a\x1b[31m"')
    assert "\x1b" not in str(problem)
    assert r"a\x1b[31m" in str(problem)
