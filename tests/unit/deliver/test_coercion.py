"""Attribute coercion: what is named changes, is recorded, and no other byte does."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import PrivateBlock
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from node.dicom.coercion import Coercion, coerce
from node.errors import PermanentError
from node.store.arrival import read_arrival
from node.store.layout import DataFolder
from tests.support.images.receipts import arrive, compressed, ct, encoded

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def coerced(
    folder: Path, dataset: Dataset | bytes, changes: dict[str, Any], syntax: str = ExplicitVRLittleEndian
) -> Path:
    """The file after the coercion."""
    data_folder = DataFolder(folder)
    source = data_folder.arrived(arrive(data_folder, dataset, syntax=syntax))
    coerce(source, folder / "out.dcm", Coercion(changes, AT, "PACSNODE", "CT1"))
    return folder / "out.dcm"


def content(path: Path) -> bytes:
    """The data set's bytes."""
    return path.read_bytes()[read_arrival(path)[1] :]


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        JPEGLSLossless,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_attributes_are_overwritten_and_what_stood_there_is_recorded(tmp_path: Path, syntax: str) -> None:
    """Replaced, emptied and added ones; the item says what was there, when, by whom, from where, and why."""
    original = ct(ReferringPhysicianName="Kim^Chulsoo", InstitutionName="Ward 3")
    sent = compressed(original, syntax) if syntax == JPEGLSLossless else original
    changes = {"InstitutionName": "Site A", "ReferringPhysicianName": None, "IssuerOfPatientID": "SITEA"}
    path = coerced(tmp_path, sent, changes, syntax)
    found = dcmread(path)
    assert (found.InstitutionName, str(found.ReferringPhysicianName), found.IssuerOfPatientID) == (
        "Site A",
        "",
        "SITEA",
    )
    (item,) = found.OriginalAttributesSequence
    (before,) = item.ModifiedAttributesSequence
    assert {e.keyword: str(e.value or "") for e in before} == {
        "InstitutionName": "Ward 3",
        "ReferringPhysicianName": "Kim^Chulsoo",
        "IssuerOfPatientID": "",
    }
    del item.ModifiedAttributesSequence
    assert {e.keyword: e.value for e in item} == {
        "AttributeModificationDateTime": "20260301123000.000000+0000",
        "ModifyingSystem": "PACSNODE",
        "SourceOfPreviousValues": "CT1",
        "ReasonForTheAttributeModification": "COERCE",
    }
    del found.OriginalAttributesSequence, found.IssuerOfPatientID
    found.InstitutionName, found.ReferringPhysicianName = "Ward 3", "Kim^Chulsoo"
    assert {e.tag: e.value for e in found} == {e.tag: e.value for e in sent}


def test_every_other_byte_is_as_it_was(tmp_path: Path) -> None:
    """A data set that pydicom would write otherwise: odd padding, undefined lengths, private elements, a trailer."""
    dataset = ct()
    PrivateBlock((0x0009, "ACME"), dataset, 0x10).add_new(0x01, "UN", b"\x00\xff" * 40_000)
    dataset.add_new(0x00091001, "UN", b"\x00\xff" * 40_000)
    dataset.add_new(0xFFFCFFFC, "OB", b"\0" * 10)
    item = Dataset()
    item.CodeValue = "1"
    dataset.ProcedureCodeSequence = [item]
    dataset["ProcedureCodeSequence"].is_undefined_length = True
    item.is_undefined_length_sequence_item = True
    plain = encoded(dataset).replace(b"Chest 1 mm", b"Chest 1\0mm")
    path = coerced(tmp_path, plain, {"StudyID": "X7"})
    new = content(path)
    at = plain.index(b"\x20\x00\x10\x00SH")
    assert new[:at] == plain[:at]
    assert new[at : at + 10] == b"\x20\x00\x10\x00SH\x02\x00X7"
    sequence = new.index(b"\x00\x04\x61\x05SQ")
    length = 12 + int.from_bytes(new[sequence + 8 : sequence + 12], "little")
    assert new[at + 10 : sequence] + new[sequence + length :] == plain[at + 10 :]


def test_earlier_items_stay_and_the_same_order_gives_the_same_bytes(tmp_path: Path) -> None:
    """What another system has recorded comes first, of defined or undefined length; sent again, nothing differs."""
    earlier = Dataset()
    earlier.ModifyingSystem, earlier.ReasonForTheAttributeModification = "RIS", "CORRECT"
    earlier.ModifiedAttributesSequence = [Dataset()]
    for undefined in (False, True):
        dataset = ct(OriginalAttributesSequence=[earlier])
        dataset["OriginalAttributesSequence"].is_undefined_length = undefined
        folders = [tmp_path / f"{undefined}{number}" for number in range(2)]
        first, second = (coerced(folder, dataset, {"InstitutionName": "Site A"}) for folder in folders)
        items = dcmread(first).OriginalAttributesSequence
        assert [each.ModifyingSystem for each in items] == ["RIS", "PACSNODE"]
        assert content(first) == content(second)


def test_text_in_the_images_own_character_set(tmp_path: Path) -> None:
    """Korean into a Korean image; into one that has no letters for it, nothing is sent and it says why."""
    korean = ct(SpecificCharacterSet=["", "ISO 2022 IR 149"], PatientName="Hong^Gildong=洪^吉洞=홍^길동")
    found = dcmread(coerced(tmp_path / "1", korean, {"InstitutionName": "서울병원"}))
    assert (found.InstitutionName, str(found.PatientName)) == ("서울병원", "Hong^Gildong=洪^吉洞=홍^길동")
    with pytest.raises(PermanentError, match=r"cannot be written in the image's character set ISO_IR 100"):
        coerced(tmp_path / "2", ct(SpecificCharacterSet="ISO_IR 100"), {"InstitutionName": "서울병원"})


def test_a_group_length_that_would_lie_is_left_out(tmp_path: Path) -> None:
    """Group lengths are retired (PS3.5 7.2); those of groups that do not change stay."""
    plain = encoded(ct())
    at = plain.index(b"\x10\x00\x10\x00PN")
    lengths = b"\x08\x00\x00\x00UL\x04\x00" + at.to_bytes(4, "little"), b"\x10\x00\x00\x00UL\x04\x00\x63\x00\x00\x00"
    new = content(coerced(tmp_path, lengths[0] + plain[:at] + lengths[1] + plain[at:], {"InstitutionName": "Site A"}))
    assert lengths[0][:8] not in new
    assert lengths[1] in new
    assert dcmread(BytesIO(new), force=True).InstitutionName == "Site A"
