"""Is it still the same patient?"""

from __future__ import annotations

import pytest

from node.deliver.identity import Verdict, compare
from node.ledger.identities import IdentityStatus

OURS = {"StudyInstanceUID": "1.2.3", "PatientID": "P1", "IssuerOfPatientID": "", "AccessionNumber": "A1"}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], Verdict(IdentityStatus.ABSENT)),
        ([{**OURS, "StudyInstanceUID": "1.2.4"}], Verdict(IdentityStatus.ABSENT)),
        ([OURS], Verdict(IdentityStatus.AGREES)),
        ([{**OURS, "PatientID": "P1 ", "AccessionNumber": " A1"}], Verdict(IdentityStatus.AGREES)),
        ([{**OURS, "IssuerOfPatientID": "HOSPITAL"}], Verdict(IdentityStatus.AGREES)),
        ([{**OURS, "PatientID": "P2"}], Verdict(IdentityStatus.DIFFERS, "PatientID")),
        ([{**OURS, "PatientID": "p1"}], Verdict(IdentityStatus.DIFFERS, "PatientID")),
        ([{**OURS, "AccessionNumber": ""}], Verdict(IdentityStatus.DIFFERS, "AccessionNumber")),
        (
            [{**OURS, "PatientID": "P2", "AccessionNumber": "A2"}],
            Verdict(IdentityStatus.DIFFERS, "AccessionNumber, PatientID"),
        ),
        ([OURS, {**OURS, "PatientID": "P2"}], Verdict(IdentityStatus.DIFFERS, "PatientID")),
    ],
)
def test_what_an_answer_means(answers: list[dict[str, str]], expected: Verdict) -> None:
    """Spaces and an issuer stated on one side only do not count; anything else that differs does."""
    assert compare(OURS, answers) == expected


def test_two_issuers_differ() -> None:
    """The same ID from two issuers is two patients."""
    assert compare({**OURS, "IssuerOfPatientID": "A"}, [{**OURS, "IssuerOfPatientID": "B"}]) == Verdict(
        IdentityStatus.DIFFERS, "IssuerOfPatientID"
    )
