"""`plugin check` on plugins that return DICOM: two runs say the same where only UIDs, times and names differ."""

from __future__ import annotations

import json
from pathlib import Path

from node.kit import repeating
from tests.support.results import foreign


def out(folder: Path, uid: str, name: str, **changes: object) -> Path:
    """The kept `out/` of a run that returned one picture."""
    made = foreign.capture(1, **changes)
    made.SOPInstanceUID = made.SeriesInstanceUID = uid
    foreign.write(made, folder / "dicom" / name)
    said = {"schema": 1, "status": "findings", "objects": [{"file": f"dicom/{name}"}]}
    (folder / "result.json").write_text(json.dumps(said))
    return folder


def test_new_uids_times_and_names_are_no_difference(tmp_path: Path) -> None:
    """Programs make these in each run."""
    one = out(tmp_path / "1", "1.2.276.0.1", "000001.dcm", ContentTime="101010")
    other = out(tmp_path / "2", "1.2.276.0.22", "000002.dcm", ContentTime="111111")
    assert repeating.content_of(one) == repeating.content_of(other)


def test_other_pixels_or_words_are_one(tmp_path: Path) -> None:
    """As for any other result."""
    one = repeating.content_of(out(tmp_path / "1", "1.2.276.0.1", "000001.dcm"))
    assert one != repeating.content_of(out(tmp_path / "2", "1.2.276.0.1", "000001.dcm", SeriesDescription="other"))
    changed = out(tmp_path / "3", "1.2.276.0.1", "000001.dcm")
    (changed / "result.json").write_text(json.dumps({"schema": 1, "status": "no_findings", "objects": []}))
    assert one != repeating.content_of(changed)
