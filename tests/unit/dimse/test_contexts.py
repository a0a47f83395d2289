"""Which presentation contexts are accepted, and with which transfer syntax."""

from __future__ import annotations

import pytest
from pydicom._uid_dict import UID_dictionary
from pynetdicom.presentation import build_context, negotiate_as_acceptor
from pynetdicom.sop_class import _STORAGE_CLASSES

from node.dimse.contexts import (
    ACCEPTED,
    LOSSLESS,
    LOSSY,
    is_lossy,
    is_storage,
    one_context_each,
    supported_for,
)

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
BASELINE, EXTENDED, J2K = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.90"
JPIP, LIVE_VIDEO, MPEG4 = "1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.7.1", "1.2.840.10008.1.2.4.102"


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        ([EXTENDED, EXPLICIT], EXPLICIT),
        ([IMPLICIT, EXPLICIT], EXPLICIT),
        ([BIG, IMPLICIT], IMPLICIT),
        ([J2K, DEFLATED], DEFLATED),
        ([BIG, RLE], RLE),
        ([BASELINE, BIG], BIG),
        ([BASELINE, J2K], J2K),
        ([BASELINE], BASELINE),
        ([MPEG4], MPEG4),
        ([JPIP], None),
        ([LIVE_VIDEO], None),
        (["1.2.3.4"], None),
        ([JPIP, EXPLICIT], EXPLICIT),
    ],
)
def test_transfer_syntax_of_a_context(proposed: list[str], chosen: str | None) -> None:
    """Lossless before lossy, uncompressed before compressed, Big Endian last of the lossless, JPIP never."""
    proposal = build_context("1.2.840.10008.5.1.4.1.1.2", proposed)
    proposal.context_id = 1
    [answer], _ = negotiate_as_acceptor([proposal], supported_for([proposal]))
    assert (answer.transfer_syntax[0] if answer.result == 0 else None) == chosen


@pytest.mark.parametrize("abstract_syntax", ["1.2.840.10008.5.1.4.1.1.2", "1.3.12.2.1107.5.9.1", "1.2.3.4.5"])
def test_pynetdicom_negotiates_what_we_choose(abstract_syntax: str) -> None:
    """[JPEG Extended, Explicit LE] → Explicit LE, also for a private SOP class."""
    proposal = build_context(abstract_syntax, [EXTENDED, EXPLICIT])
    proposal.context_id = 1
    results, _ = negotiate_as_acceptor([proposal], supported_for([proposal]))
    assert [(each.result, each.transfer_syntax) for each in results] == [(0, [EXPLICIT])]


def test_every_transfer_syntax_of_the_registry_is_placed() -> None:
    """Lossless, lossy or refused: a new pydicom with a new syntax fails here instead of going unnoticed."""
    known = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"}
    refused = {uid for uid in known if uid.startswith(("1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7."))}
    refused |= {f"1.2.840.10008.1.2.4.{number}" for number in (94, 95, 204, 205)} | {"1.2.840.10008.1.20"}
    assert known == set(ACCEPTED) | refused
    assert len(ACCEPTED) == len(set(ACCEPTED))
    assert not set(LOSSLESS) & set(LOSSY)


def test_lossy_is_a_fact_of_the_chosen_syntax() -> None:
    """JPEG baseline and near-lossless JPEG-LS may have lost something; JPEG 2000 lossless only has not."""
    assert [is_lossy(uid) for uid in (BASELINE, "1.2.840.10008.1.2.4.81", J2K, BIG)] == [True, True, False, False]


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.5.1.4.1.1.6",  # ultrasound, retired
        "1.2.840.10008.5.1.4.1.1.5",  # nuclear medicine, retired
        "1.2.840.10008.5.1.4.1.1.501.1",  # DICOS CT
        "1.3.12.2.1107.5.9.1",  # Siemens CSA non-image
        "1.2.840.10008.5.1.4.1.1.9999",  # not invented yet
        *_STORAGE_CLASSES.values(),
    ],
)
def test_storage_sop_classes_are_accepted(uid: str) -> None:
    """Known, retired, private and unknown ones."""
    assert is_storage(uid)


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.1",  # verification
        "1.2.840.10008.5.1.4.1.2.2.1",  # study root find
        "1.2.840.10008.1.20.1",  # storage commitment
        "1.2.840.10008.1.3.10",  # media storage directory
        "1.2.840.10008.5.1.4.38.1",  # hanging protocol: no patient, no study
        "1.2.840.10008.5.1.4.31",  # modality worklist
        "1.2.840.10008.5.1.1.9",  # basic grayscale print
    ],
)
def test_other_abstract_syntaxes_are_no_storage(uid: str) -> None:
    """Nothing is accepted that could not be filed under a patient's study."""
    assert not is_storage(uid)


def test_contexts_to_send_under_leave_the_acceptor_no_choice() -> None:
    """One context for each kind of file, with its own transfer syntax alone."""
    contexts = one_context_each([("1.2.840.10008.5.1.4.1.1.2", J2K), ("1.2.840.10008.5.1.4.1.1.2", EXPLICIT)] * 2)
    assert [list(each.transfer_syntax) for each in contexts] == [[EXPLICIT], [J2K]]
