"""What `forward` may name: destinations that are there, attributes that do not make the image another one."""

from __future__ import annotations

import pytest

from node.config.loading import load
from tests.support.sites.configurations import SITE, Write, told

RULE = """
  - name: on
    when: {Modality: CT}
    mode: clinical
"""


def forward(write: Write, text: str, more: str = "") -> list[tuple[int, str, str]]:
    return told(write(f"{SITE}rules:{RULE}    forward: {text}\n{more}"))


def test_forwarding_loads(write: Write) -> None:
    """One destination or several; replaced and emptied attributes."""
    coerce = "{InstitutionName: Site A, ReferringPhysicianName: null, OtherPatientNames: [A^B, C], SeriesNumber: 7}"
    (rule,) = load(write(f"{SITE}rules:{RULE}    forward: {{to: pacs, coerce: {coerce}}}\n")).rules
    assert rule.forward is not None
    assert rule.forward.coerce["OtherPatientNames"] == ["A^B", "C"]


@pytest.mark.parametrize(
    ("coerce", "says"),
    [
        ("{InstitutionNme: X}", "InstitutionName"),
        ("{SOPInstanceUID: 1.2.3}", "is UI: only text"),
        ("{StudyInstanceUID: 1.2.3}", "says what the image is"),
        ("{PixelData: X}", "says what the image is"),
        ("{ImageLaterality: L}", "says what the image is"),
        ("{Modality: MR}", "says what the image is"),
        ("{SpecificCharacterSet: ISO_IR 192}", "says what the image is"),
        ("{ProcedureCodeSequence: X}", "is SQ"),
        ("{InstitutionName: {a: b}}", "needs a text"),
        ("{InstitutionName: [A, B]}", "has one value"),
        ("{PatientBirthDate: 1 March}", "PatientBirthDate"),
    ],
)
def test_what_cannot_be_coerced_is_refused_with_its_place(write: Write, coerce: str, says: str) -> None:
    """A keyword that is none, what identifies or describes the image, a value that cannot be written."""
    [(_, path, message)] = forward(write, f"{{to: pacs, coerce: {coerce}}}")
    assert path.startswith("rules[0].forward.coerce.")
    assert says in message


def test_whom_it_names_has_to_be_there_and_to_be_for_it(write: Write) -> None:
    """As for `send`; what counts runs has no meaning where nothing is run."""
    [(_, path, message)] = forward(write, "{to: [pacs, pcas]}")
    assert path == "rules[0].forward.to[1]"
    assert '"pcas"' in message
    [(_, path, message)] = forward(write, "{to: pacs}", "    limits: {enrolled: 3}\n")
    assert path == "rules[0].limits"
    assert "runs nothing" in message
    shadow = f"{SITE}rules:{RULE}    forward: {{to: pacs}}\n".replace("mode: clinical", "mode: shadow")
    [(_, _, message)] = told(write(shadow))
    assert "shadow is not for readers" in message


def test_where_an_earlier_study_comes_from_has_to_be_there(write: Write) -> None:
    """The archive is a destination; the role is not that of a choice."""
    from tests.support.sites.configurations import rule as a_rule

    text = f"{SITE}rules:{a_rule()}    prior: {{source: pcas, within: 2 years}}\n"
    [(_, path, message)] = told(write(text))
    assert path == "rules[0].prior.source"
    assert '"pcas"' in message
