"""A report made anew in another SOP class, for a set that exists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import MRImageStorage

from node.config.encoding import EncodingProfile
from node.dicom.report_classes import SOP_CLASSES, SRClass, lesser, name_of, setting_of
from node.results.encode import encode
from node.results.encoded import EncodedObject
from node.results.gate.judging import SetRefusedError
from node.results.request import EarlierSet, SourceReference
from tests.support.results import reports


def _profile(sr_class: SRClass) -> EncodingProfile:
    return EncodingProfile(sr_class=sr_class, language="ko", kinds=frozenset({"sr", "seg", "ko"}))


def _companions(made: tuple[EncodedObject, ...]) -> tuple[EncodedObject, ...]:
    return tuple(one for one in made if one.kind != "sr")


def _set_made(digest: str, companions: tuple[EncodedObject, ...]) -> EarlierSet:
    references = (
        (o.kind, SourceReference(o.study_instance_uid, o.series_instance_uid, o.sop_instance_uid, o.sop_class_uid))
        for o in companions
    )
    return EarlierSet(digest, tuple(references))


def _report(made: tuple[EncodedObject, ...]) -> Dataset:
    return next(dcmread(one.path) for one in made if one.kind == "sr")


@pytest.mark.parametrize("sr_class", ["comprehensive", "enhanced"])
def test_it_is_what_the_class_would_have_been_if_stated(tmp_path: Path, sr_class: SRClass) -> None:
    """Equal but for its own UIDs and those of the objects beside it, which stay; no UID is one that was used."""
    paths = reports.write_series("ct", tmp_path / "in")
    result = reports.segmented(reports.frames("ct"))
    refused = encode(reports.request(paths, result, profile=_profile("comprehensive-3d")), tmp_path / "refused")
    stated = encode(reports.request(paths, result, profile=_profile(sr_class)), tmp_path / "stated")
    belongs_to = _set_made(_profile("comprehensive-3d").digest(), _companions(refused))
    wanted = reports.request(paths, result, profile=_profile(sr_class), belongs_to=belongs_to)
    anew = encode(wanted, tmp_path / "anew")
    assert [one.kind for one in anew] == ["sr"]
    assert anew[0].sha256 == encode(wanted, tmp_path / "again")[0].sha256

    report, expected = _report(anew), _report(stated)
    known = {one.sop_instance_uid for one in (*refused, *stated)} | {one.series_instance_uid for one in refused}
    assert not known & {str(report.SOPInstanceUID), str(report.SeriesInstanceUID)}
    text = report.to_json()
    for ours, theirs in zip((*_companions(refused), anew[0]), stated, strict=True):
        for name in ("sop_instance_uid", "series_instance_uid"):
            text = text.replace(getattr(ours, name), getattr(theirs, name))
    assert Dataset.from_json(text) == expected


def test_the_gate_judges_it(tmp_path: Path) -> None:
    """A reference that does not agree with the set is refused, as in any report."""
    paths = reports.write_series("ct", tmp_path / "in")
    result = reports.segmented(reports.frames("ct"))
    refused = encode(reports.request(paths, result, profile=_profile("comprehensive-3d")), tmp_path / "refused")
    kind, segmentation = _set_made("", _companions(refused)).companions[0]
    other_class = replace(segmentation, sop_class_uid=MRImageStorage)
    belongs_to = EarlierSet("d", ((kind, other_class),))
    with pytest.raises(SetRefusedError, match="is not the class of"):
        encode(reports.request(paths, result, profile=_profile("enhanced"), belongs_to=belongs_to), tmp_path / "out")


def test_classes_in_their_order() -> None:
    """Each falls back on those that say less, and nothing but a report falls back."""
    three_d, comprehensive, enhanced = (SOP_CLASSES[each] for each in ("comprehensive-3d", "comprehensive", "enhanced"))
    assert lesser(three_d) == (comprehensive, enhanced)
    assert lesser(comprehensive) == (enhanced,)
    assert lesser(enhanced) == lesser("1.2.840.10008.5.1.4.1.1.88.59") == ()
    assert (setting_of(enhanced), name_of(three_d)) == ("enhanced", "Comprehensive 3D SR")


def test_a_profile_comes_back_from_the_ledger_as_it_was() -> None:
    """All of it, so that what is made anew later is made alike."""
    profile = EncodingProfile(
        sr_class="enhanced",
        character_set="source",
        sc_modality="source",
        language="ko",
        series_number_base=7000,
        kinds=frozenset({"sr", "pr"}),
        send_when={"failed": frozenset({"sr"}), "not_applicable": frozenset()},
        seg_form="label-map",
        sc_form="multi-frame",
        series_text="chest",
        transfer_syntax="implicit",
        editable=True,
    )
    assert EncodingProfile.from_json(profile.to_json()) == profile
    assert EncodingProfile.from_json(EncodingProfile().to_json()).digest() == EncodingProfile().digest()
