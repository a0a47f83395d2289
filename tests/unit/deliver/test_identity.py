"""Is it still the same patient?"""

from __future__ import annotations

import pytest

from node.deliver.identity import IdentityVerdict, compare
from node.ledger.identities import IdentityStatus

OURS = {"StudyInstanceUID": "1.2.3", "PatientID": "P1", "IssuerOfPatientID": "", "AccessionNumber": "A1"}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], IdentityVerdict(IdentityStatus.ABSENT)),
        ([{**OURS, "StudyInstanceUID": "1.2.4"}], IdentityVerdict(IdentityStatus.ABSENT)),
        ([OURS], IdentityVerdict(IdentityStatus.AGREES)),
        ([{**OURS, "PatientID": "P1 ", "AccessionNumber": " A1"}], IdentityVerdict(IdentityStatus.AGREES)),
        ([{**OURS, "IssuerOfPatientID": "HOSPITAL"}], IdentityVerdict(IdentityStatus.AGREES)),
        ([{**OURS, "PatientID": "P2"}], IdentityVerdict(IdentityStatus.DIFFERS, "PatientID")),
        ([{**OURS, "PatientID": "p1"}], IdentityVerdict(IdentityStatus.DIFFERS, "PatientID")),
        (
            [{**OURS, "AccessionNumber": ""}],
            IdentityVerdict(IdentityStatus.DIFFERS, "AccessionNumber", "AccessionNumber"),
        ),
        (
            [{**OURS, "PatientID": "P2", "AccessionNumber": "A2"}],
            IdentityVerdict(IdentityStatus.DIFFERS, "AccessionNumber, PatientID"),
        ),
        ([OURS, {**OURS, "PatientID": "P2"}], IdentityVerdict(IdentityStatus.DIFFERS, "PatientID")),
    ],
)
def test_what_an_answer_means(answers: list[dict[str, str]], expected: IdentityVerdict) -> None:
    """Spaces and an issuer stated on one side only do not count; anything else that differs does."""
    assert compare(OURS, answers) == expected


def test_two_issuers_differ() -> None:
    """The same ID from two issuers is two patients."""
    assert compare({**OURS, "IssuerOfPatientID": "A"}, [{**OURS, "IssuerOfPatientID": "B"}]) == IdentityVerdict(
        IdentityStatus.DIFFERS, "IssuerOfPatientID"
    )


@pytest.mark.parametrize("keyword", ["PatientID", "AccessionNumber"])
def test_finding_d1_an_identifier_of_several_values_is_compared_value_by_value(keyword: str) -> None:
    """A backslash makes two values of it on both sides; padding of either does not count, another value does."""
    ours = {**OURS, keyword: "A1\\B2"}
    assert compare(ours, [{**OURS, keyword: "A1 \\ B2 "}]).status is IdentityStatus.AGREES
    for other in ("A1", "B2\\A1", "A1\\B3", "A1B2"):
        assert compare(ours, [{**OURS, keyword: other}]) == IdentityVerdict(IdentityStatus.DIFFERS, keyword)


@pytest.mark.parametrize("missing", ["", " ", "\\"])
def test_finding_d1_a_destination_that_states_no_accession_number_is_said_to_state_none(missing: str) -> None:
    """It is held, because it cannot be compared; the words do not send a person looking for another number."""
    verdict = compare(OURS, [{**OURS, "AccessionNumber": missing}])
    assert verdict.reason("pacs") == "pacs states no AccessionNumber for this study, which cannot be compared"
    both = compare(OURS, [{"StudyInstanceUID": "1.2.3", "PatientID": "P2"}])
    assert both.reason("pacs").endswith("cannot be compared, and has it under another PatientID")
    other = compare(OURS, [{**OURS, "AccessionNumber": "A2"}])
    assert other.reason("pacs") == "pacs has this study under another AccessionNumber"


def test_nothing_on_either_side_is_equal() -> None:
    """Images without an accession number, and a destination that returns none."""
    assert compare({**OURS, "AccessionNumber": ""}, [{**OURS, "AccessionNumber": " "}]).status is IdentityStatus.AGREES
