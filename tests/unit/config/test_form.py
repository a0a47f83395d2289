"""What a configuration file may not be, whatever it says (case 75)."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config import source
from node.config.problems import ConfigurationError


def refused(path: Path, content: str | bytes) -> list[tuple[int, int, str]]:
    """Line, column and message of every problem of form."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigurationError) as caught:
        source.read(path)
    return [(each.place.line, each.place.column, each.message) for each in caught.value.problems]


@pytest.mark.parametrize(
    ("content", "line", "column", "message"),
    [
        ("node: !!python/object/apply:os.system [ls]\n", 1, 7, "the tag !!python/object/apply:os.system is refused"),
        ("node: !!python/name:os.system\n", 1, 7, "the tag !!python/name:os.system is refused"),
        ("a: 1\nnode: !secret x\n", 2, 7, "the tag !secret is refused"),
        ("node: !!set {a, b}\n", 1, 7, "the tag !!set is refused"),
        ("node: {a: 1}\nplugins: {}\nnode: {b: 2}\n", 3, 1, 'the key "node" stands here twice; first on line 1'),
        ("node:\n  a: 1\n  a: 1\n", 3, 3, 'the key "a" stands here twice; first on line 2'),
        ("a: &x {b: 1}\nnode: {<<: *x}\n", 2, 8, "merge keys (<<) are not understood here"),
        ("node: &x [*x]\n", 1, 7, "this alias contains itself"),
        ("node: {1: 2}\n", 1, 8, "the key 1 is not a text"),
        ("? [a]\n: 1\n", 1, 3, "a key has to be a text"),
        ("node: {id: 00123}\n", 1, 12, "00123 would lose its leading zeros as a number"),
        ("node:\n\ttime_zone: UTC\n", 2, 1, "a tab cannot indent YAML; use spaces"),
        ("node: 1\n---\nnode: 2\n", 2, 1, "a second document begins here"),
        ('a: 1\nnode: "never ends\n\n', 2, 7, "the quote that begins here is not closed"),
        ("node: *nothing\n", 1, 7, "a text that begins with * has to be in quotes"),
        ("a: b: c\n", 1, 4, "a text with a colon and a space in it has to be in quotes"),
        ("a: x\nnode: a\x00b\n", 2, 8, "the character U+0000 is not allowed"),
        (b"a: 1\nnode: caf\xe9\n", 2, 10, "the byte 0xE9 is not UTF-8"),
        ("", 0, 0, "is empty"),
        ("# only a comment\n", 0, 0, "is empty"),
        ("[" * 5000, 0, 0, "is nested too deeply"),
        ("#" * (source.LARGEST_FILE + 1), 0, 0, "is larger than"),
    ],
)
def test_fault_75_a_file_that_is_no_plain_yaml_is_refused_with_its_place(
    tmp_path: Path, content: str | bytes, line: int, column: int, message: str
) -> None:
    """Custom tags, duplicate keys, tabs, broken texts …: line and column, and what is wrong in words."""
    [found] = refused(tmp_path / "config.yaml", content)
    assert found[:2] == (line, column)
    assert found[2].startswith(message)


def test_fault_75_an_alias_bomb_ends_at_a_count(tmp_path: Path) -> None:
    """Ten lines that stand for 9^10 values: refused, after 50,000 of them."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    [(_, _, message)] = refused(tmp_path / "config.yaml", "\n".join(lines))
    assert message == "with aliases followed the file holds more than 50000 values; it is not read further"


def test_fault_75_nesting_ends_at_a_depth(tmp_path: Path) -> None:
    """Sixty lists in one another, which the parser still takes."""
    [(_, _, message)] = refused(tmp_path / "config.yaml", "node: " + "[" * 60 + "]" * 60)
    assert message == "with aliases followed the file holds over 40 levels; it is not read further"


def test_all_problems_of_form_are_told_at_once(tmp_path: Path) -> None:
    """Two tags and a duplicate: three problems."""
    found = refused(tmp_path / "config.yaml", "a: !x 1\nb: !y 2\nb: 3\n")
    assert [line for line, _, _ in found] == [1, 2, 3]


def test_a_missing_file_is_told_by_name(tmp_path: Path) -> None:
    """No traceback, no empty configuration."""
    with pytest.raises(ConfigurationError, match=r"config\.yaml: cannot be read: No such file or directory"):
        source.read(tmp_path / "config.yaml")


def test_plain_values_are_read_as_yaml_1_2_reads_them(tmp_path: Path) -> None:
    """`yes` and `on` are texts, a date stays as written, aliases are followed."""
    path = tmp_path / "config.yaml"
    text = "\N{BYTE ORDER MARK}a: yes\nb: true\nc: 2024-01-31\nd: &d [1, 1.5, 0x1F, ~]\ne: *d\non: '007'\n"
    path.write_text(text, encoding="utf-8")
    assert source.read(path).value == {
        "a": "yes",
        "b": True,
        "c": "2024-01-31",
        "d": [1, 1.5, 31, None],
        "e": [1, 1.5, 31, None],
        "on": "007",
    }


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("when: {StudyDescription: {matches: *chest*}}\n", 1, 'begins with * has to be in quotes: write "*chest*"'),
        ("x: @home\n", 1, 'begins with @ has to be in quotes: write "@home"'),
        ("x: %d\n", 1, 'begins with % has to be in quotes: write "%d"'),
        ("x: `a`\n", 1, "begins with ` has to be in quotes"),
        (
            "a:\n  when:\n    Modality: CT\n   run: x\n",
            4,
            "this line begins in column 4, and what it belongs to began in column 3",
        ),
        ("a:\n  b: 1\n    c: 2\n", 3, "indented further than the one before, which has a value already"),
        ("- a\nb: 1\n", 2, "lines with a dash and lines with key: value cannot stand on one level"),
        ("x: - a\n", 1, "a list begins on a line of its own after the colon"),
        ("a:\u00a0CT\nb: c\n", 1, "a no-break space (U+00A0) is here"),
        ("a:\n\u00a0 b: 1\n", 2, "a no-break space (U+00A0) is here"),
        ("a:\u3000CT\n", 1, "a special space (U+3000) is here"),
        ("StudyDescription: CT: chest\n", 1, 'a colon and a space in it has to be in quotes: write "CT: chest"'),
        ("Modality:CT\nb: c\n", 1, "a space is missing after the colon: write Modality: CT"),
        ("Modality CT\nb: c\n", 1, "a colon is missing"),
        ("x: {at_most: 1,5}\n", 1, "1,5 is two values: write a decimal point, 1.5"),
        ("x: {0018,0050: 5}\n", 1, 'in quotes here: "(0018,0050)"'),
        ("x: {(0018,0050): 5}\n", 1, 'in quotes here: "(0018,0050)"'),
        ("SliceThickness: > 5\ny: 2\n", 1, "there is no > here: write {above: 5}"),
        ("SliceThickness: >= 5\n", 1, "there is no >= here: write {at_least: 5}"),
        ("x: {Modality: != CT}\n", 1, "there is no !=: write not: {Modality: CT}"),
        ('x: "\\d+"\n', 1, "in double quotes a backslash needs another one before it"),
        ('x: "CT" chest\n', 1, "nothing may follow the closing quote"),
        ("x: [a, b\ny: c\n", 2, "the [ of line 1 is not closed by ]"),
        ("x: {a: b\ny: c\n", 2, "the { of line 1 is not closed by }"),
        ("a:\n  b: 1\n\tc: 2\n", 3, "a tab cannot indent YAML"),
        ("a: 1_000\n", 1, '1_000 is not a number here: write it without "_"'),
        ("a: 08\n", 1, "would lose its leading zeros"),
    ],
)
def test_finding_o6_a_mistake_in_yaml_is_told_with_what_to_write(
    tmp_path: Path, content: str, line: int, message: str
) -> None:
    """No word of the parser reaches an admin: the line, what is wrong, and what to write instead."""
    found = refused(tmp_path / "config.yaml", content)
    assert [each[0] for each in found] == [line]
    assert message in found[0][2]
    assert not any(word in found[0][2] for word in ("expected", "scalar", "mapping", "block end", "token", "alias"))


def test_finding_o6_what_looks_odd_and_is_right_stays_as_it_is(tmp_path: Path) -> None:
    """Times, `no`, quoted stars, and a no-break space within a text are what they were."""
    path = tmp_path / "config.yaml"
    path.write_text('a: 12:30\nb: no\nc: "*chest*"\nd: CT\u00a0Thorax\ne: "a:\u00a0b"\n')
    assert source.read(path).value == {"a": "12:30", "b": "no", "c": "*chest*", "d": "CT\u00a0Thorax", "e": "a:\u00a0b"}
