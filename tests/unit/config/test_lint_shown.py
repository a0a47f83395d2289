"""What is wrong with rules, as `check` shows it to an admin: one bad example of each kind."""

from __future__ import annotations

import pytest

from node.config import loading
from node.config.problems import ConfigurationError
from tests.support.sites.configurations import Write

HEAD = "node: {time_zone: Asia/Seoul}\nrules:\n"
RULE = """\
  - name: %s
    when: %s
    choose: {where: %s}
    run: mine
    mode: shadow
"""
PLUGIN = "plugins:\n  mine: {folder: mine}\n"
CT = "{Modality: CT}"


def rule(when: str = CT, where: str = CT, name: str = "chest") -> str:
    return RULE % (name, when, where)


def shown(write: Write, text: str) -> list[str]:
    """Every mistake and warning, as it is shown, without the folder of the test."""
    path = write(HEAD + text + PLUGIN)
    try:
        problems = loading.read(path).warnings
    except ConfigurationError as error:
        problems = error.problems
    return [str(each).replace(f"{path.parent}/", "") for each in problems]


REFUSED = {
    "contradiction": (
        rule("{patient_age: {at_least: 18, below: 10}}"),
        """\
config.yaml:4:12: rules[0].when.patient_age: patient_age: {at_least: 18, below: 10} can never hold: no age is between
    4 |     when: {patient_age: {at_least: 18, below: 10}}
      |            ^~~~~~~~~~~""",
    ),
    "contradiction in one series": (
        rule(where="{Modality: CT, all: [{Modality: [MR, PT]}]}"),
        """\
config.yaml:5:43: rules[0].choose.where.all[0].Modality: Modality: CT and Modality: [MR, PT] can never hold: \
Modality is only one of them
    5 |     choose: {where: {Modality: CT, all: [{Modality: [MR, PT]}]}}
      |                                           ^~~~~~~~""",
    ),
    "unknown keyword": (
        rule("{StudyDescripton: {matches: x}}"),
        """\
config.yaml:4:12: rules[0].when.StudyDescripton: there is no DICOM keyword StudyDescripton; \
did you mean "StudyDescription"?
    4 |     when: {StudyDescripton: {matches: x}}
      |            ^~~~~~~~~~~~~~~""",
    ),
    "wrong value representation": (
        rule(where='{SliceThickness: {matches: "1*"}}'),
        """\
config.yaml:5:39: rules[0].choose.where.SliceThickness.matches: matches does not suit SliceThickness, which holds a \
number; it takes is, in, at_least, at_most, above, below, between, present
    5 |     choose: {where: {SliceThickness: {matches: "1*"}}}
      |                                       ^~~~~~~""",
    ),
    "unknown operator": (
        rule(where="{SliceThickness: {at_mots: 1}}"),
        """\
config.yaml:5:39: rules[0].choose.where.SliceThickness.at_mots: there is no operator 'at_mots' for SliceThickness; \
did you mean "at_most"?
    5 |     choose: {where: {SliceThickness: {at_mots: 1}}}
      |                                       ^~~~~~~""",
    ),
    "unreachable plugin": (
        rule().replace("mine", "mien"),
        """\
config.yaml:6:10: rules[0].run: there is no plugin "mien"; did you mean "mine"?
    6 |     run: mien
      |          ^~~~""",
    ),
}
WARNED = {
    "shadow": (
        rule(name="first") + rule("{Modality: CT, StationName: CT1}"),
        """\
config.yaml:9:5: rules[1].when: the rule first matches whatever this one does, and runs mine on the same series, so it \
runs twice
    9 |     when: {Modality: CT, StationName: CT1}
      |     ^~~~""",
    ),
    "duplicate": (
        rule(name="first") + rule(),
        """\
config.yaml:9:5: rules[1].when: asks the same as the rule first, and runs mine on the same series, so it runs twice
    9 |     when: {Modality: CT}
      |     ^~~~""",
    ),
    "outside the defined terms": (
        rule("{PatientSex: MALE}"),
        """\
config.yaml:4:12: rules[0].when.PatientSex: PatientSex is usually one of M, F, O, U, and hardly ever 'MALE'
    4 |     when: {PatientSex: MALE}
      |            ^~~~~~~~~~""",
    ),
    "hardly a value": (
        rule(where="{BurnedInAnnotation: NOO}"),
        """\
config.yaml:5:22: rules[0].choose.where.BurnedInAnnotation: BurnedInAnnotation is usually one of YES, NO, and hardly \
ever 'NOO'; did you mean "NO"?
    5 |     choose: {where: {BurnedInAnnotation: NOO}}
      |                      ^~~~~~~~~~~~~~~~~~""",
    ),
    "misspelt": (
        rule(where="{ImageType: {contains: LOCALISER}}"),
        """\
config.yaml:5:22: rules[0].choose.where.ImageType: ImageType: images hardly ever say 'LOCALISER'; \
did you mean "LOCALIZER"?
    5 |     choose: {where: {ImageType: {contains: LOCALISER}}}
      |                      ^~~~~~~~~""",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_can_never_match_is_refused_at_its_place(write: Write, kind: str) -> None:
    """File, line and column, what is wrong in plain words, the line with a caret, and what was probably meant."""
    text, expected = REFUSED[kind]
    assert shown(write, text) == [expected]
    with pytest.raises(ConfigurationError):
        loading.read(write(HEAD + text + PLUGIN))


@pytest.mark.parametrize("kind", WARNED)
def test_what_is_unlikely_is_warned_of_at_its_place(write: Write, kind: str) -> None:
    """The same, and the rules go live all the same."""
    text, expected = WARNED[kind]
    assert shown(write, text) == [expected]
    assert loading.read(write(HEAD + text + PLUGIN)).configuration.rules


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            rule().replace("mode: shadow", "send: {to: pacs}\n    mode: pilot"),
            "a text is expected here, this is {to: pacs}",
        ),
        (
            rule().replace("mode: shadow", "hours: {open: [{days: monday-friday}]}\n    mode: shadow"),
            "a list, as in [one, two], is expected here, this is monday-friday",
        ),
        (rule(where="{SliceThickness: {at_most: '1,5'}}"), "'1,5' is not a number: write a decimal point, 1.5"),
        (rule(where='{SliceThickness: "<= 5"}'), "'<= 5' is not a number: write {at_most: 5}"),
        (rule(where="{Modality: {not: CT}}"), "write `not:` before it, as in not: {Modality: CT}"),
        (rule(where='{Modality: {"!=": CT}}'), "write `not:` before it, as in not: {Modality: CT}"),
        (rule(where='{SliceThickness: {">=": 5}}'), 'did you mean "at_least"?'),
        (rule(where="{all: [{'0018,0050': 5}]}"), 'did you mean "SliceThickness"?'),
        (rule(where="{all: [{'0x00180050': 5}]}"), 'did you mean "SliceThickness"?'),
    ],
)
def test_finding_o6_a_wrong_value_is_told_with_what_to_write(write: Write, text: str, said: str) -> None:
    """What pydantic and other languages say becomes what this language takes."""
    assert any(said in each for each in shown(write, text)), shown(write, text)
