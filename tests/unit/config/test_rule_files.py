"""Rules in files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.loading import load, read
from tests.support.sites.configurations import SITE, Write, problems, rule, told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """rules.d beside config.yaml."""
    made = tmp_path / "rules.d"
    made.mkdir()
    return made


def listed(*rules: str) -> str:
    """A file that is a list of rules."""
    return "".join(rules)


def test_the_rules_of_files_stand_where_the_pattern_stood(write: Write, folder: Path) -> None:
    """Before and after rules of the configuration itself, files by name, lists and `rules:` alike."""
    (folder / "b.yaml").write_text(listed(rule("b1"), rule("b2")))
    (folder / "a.yaml").write_text(f"rules:{rule('a1')}")
    configuration = load(write(f"{SITE}rules:{rule('first')}  - rules.d/*.yaml\n{rule('last')}"))
    assert [each.name for each in configuration.rules] == ["first", "a1", "b1", "b2", "last"]


def test_a_file_that_two_patterns_match_is_read_once(write: Write, folder: Path) -> None:
    """Naming one file to have it first, and then all."""
    (folder / "a.yaml").write_text(listed(rule("a1")))
    (folder / "b.yaml").write_text(listed(rule("b1")))
    configuration = load(write(f"{SITE}rules: [rules.d/b.yaml, rules.d/*.yaml]\n"))
    assert [each.name for each in configuration.rules] == ["b1", "a1"]


def test_a_problem_names_the_file_and_the_path_within_it(write: Write, folder: Path) -> None:
    """Not the place that the rule has among all rules."""
    (folder / "a.yaml").write_text(f"rules:{rule('a1')}{rule('a2', run='mien')}")
    (folder / "b.yaml").write_text(listed(rule("b1", send="pasc")))
    found = problems(write(f"{SITE}rules:{rule('first')}  - rules.d/*.yaml\n"))
    assert [(Path(each.place.file).name, each.place.line, each.yaml_path) for each in found] == [
        ("a.yaml", 12, "rules[1].run"),
        ("b.yaml", 6, "[0].send"),
    ]


def test_a_problem_after_a_pattern_keeps_its_own_place(write: Write, folder: Path) -> None:
    """Rules of the configuration move up or down by what files hold; their places do not."""
    (folder / "a.yaml").write_text(listed(rule("a1"), rule("a2"), rule("a3")))
    assert told(write(f"{SITE}rules:\n  - rules.d/*.yaml\n{rule('last', run='mien')}")) == [
        (14, "rules[1].run", 'there is no plugin "mien" → mine')
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; config.example.yaml shows what it may say"),
        ("rules: {}\n", "expected a list of rules"),
        ("just: this\n", 'beside "rules:" a file of rules holds no "just"'),
        ("- other.yaml\n", "only the configuration itself names files of rules"),
        ("- !!python/none\n", "the tag !!python/none is refused: a configuration holds plain values only"),
        ("- {name: x, name: y}\n", 'the key "name" stands here twice; first on line 1'),
    ],
)
def test_a_file_of_rules_is_held_to_its_form(write: Write, folder: Path, content: str, message: str) -> None:
    """As strictly as the configuration itself."""
    (folder / "a.yaml").write_text(content)
    found = problems(write(f"{SITE}rules: [rules.d/*.yaml]\n"))
    assert message in [each.message for each in found]
    assert {Path(each.place.file).name for each in found} == {"a.yaml"}


def test_a_pattern_that_matches_nothing_is_an_error(write: Write) -> None:
    """A slip in it would otherwise run no rule at all, silently."""
    [(line, path, message)] = told(write(f"{SITE}rules:\n  - rule.d/*.yaml\n"))
    assert (line, path) == (9, "rules[0]")
    assert message.startswith('"rule.d/*.yaml" matches no file')


def test_the_same_name_in_two_files_is_refused(write: Write, folder: Path) -> None:
    """The message says where the first one is."""
    (folder / "a.yaml").write_text(listed(rule("same")))
    (folder / "b.yaml").write_text(listed(rule("same")))
    [(_, _, message)] = told(write(f"{SITE}rules: [rules.d/*.yaml]\n"))
    assert "a.yaml on line 2" in message


TESTS = """
tests:
  - name: a CT
    given: {given}
    expect: {{{rule}: {expected}}}
"""


def test_the_tests_of_the_configuration_and_of_files_of_rules_are_run(write: Write, tmp_path: Path) -> None:
    """One that fails is a mistake of the file that it stands in, at the line of what was expected."""
    good = TESTS.format(given="{Modality: CT}", rule="r1", expected="match")
    (tmp_path / "more.yaml").write_text("rules:" + rule("r1") + good)
    path = write(SITE + "rules:\n  - more.yaml\n")
    assert told(path) == []
    assert len(load(path).tests) == 1
    (tmp_path / "more.yaml").write_text("rules:" + rule("r1") + good.replace("r1: match", "r1: no match"))
    [problem] = problems(path)
    assert Path(problem.place.file).name == "more.yaml"
    assert (problem.place.source.strip(), problem.yaml_path) == ("expect: {r1: no match}", "tests[0].expect.r1")
    assert "fails: r1 matches" in problem.message


def test_a_test_may_name_a_file_with_its_study(write: Write, tmp_path: Path) -> None:
    """Beside the file of the test; a mistake in it is told in it."""
    (tmp_path / "chest.yaml").write_text("Modality: CT\nimages: 3\n")
    path = write(SITE + "rules:" + rule("r1") + TESTS.format(given="chest.yaml", rule="r1", expected="match"))
    assert told(path) == []
    (tmp_path / "chest.yaml").write_text("Modality: CT\nimges: 3\n")
    [problem] = problems(path)
    assert (Path(problem.place.file).name, problem.place.line, problem.suggestion) == ("chest.yaml", 2, "images")
    (tmp_path / "chest.yaml").unlink()
    assert "there is no file" in told(path)[0][2]


def test_a_mistake_in_a_test_is_told_at_its_place(write: Write) -> None:
    """A keyword that is none, an expectation that is none."""
    text = SITE + "rules:" + rule("r1") + TESTS.format(given="{Modalty: CT}", rule="r1", expected="perhaps")
    found = told(write(text))
    assert ["Modality" in found[0][2], "match" in found[1][2]] == [True, True], found


def test_what_can_never_match_is_a_problem_and_the_unlikely_a_warning(write: Write) -> None:
    """Each at its line."""
    text = SITE + "rules:" + rule("r1")
    contradiction = text.replace("choose: {where: {Modality: CT}}", "choose: {where: {KVP: {above: 5, below: 3}}}")
    [problem] = problems(write(contradiction))
    assert (problem.yaml_path, "can never hold" in problem.message) == ("rules[0].choose.where.KVP", True)
    unlikely = text.replace("when: {Modality: CT}", "when: {BurnedInAnnotation: maybe}")
    [warning] = read(write(unlikely)).warnings
    assert (warning.place.line, warning.yaml_path) == (10, "rules[0].when.BurnedInAnnotation")


def test_finding_o11_what_is_ignored_holds_for_every_rule_of_the_site(write: Write, folder: Path) -> None:
    """Said in the configuration and in a file of rules; a mistake in it is reported once, at its line."""
    entry = "  - {name: %s, when: {StationName: {matches: %s}}}\n"
    research = entry % ("research", '"*study*"')
    (folder / "a.yaml").write_text(f"ignore:\n{research}rules:{rule('a1')}{rule('a2')}")
    cds = entry % ("cds", '"*import*"')
    configuration = load(write(f"{SITE}rules: [rules.d/*.yaml]\nignore:\n{cds}"))
    assert [[each.name for each in one.ignore] for one in configuration.rules] == [["cds", "research"]] * 2
    (folder / "a.yaml").write_text(
        f"ignore:\n{research.replace('StationName', 'StationNam')}rules:{rule('a1')}{rule('a2')}"
    )
    (found,) = problems(write(f"{SITE}rules: [rules.d/*.yaml]\n"))
    assert (found.place.line, found.suggestion) == (2, "StationName")
