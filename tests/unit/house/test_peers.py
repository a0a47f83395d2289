"""The helpers that stand between the tests and other makers' programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from tests.support.ports import free_ports
from tests.support.programs import peers
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import dcmtk, find_program, require_peer, storescu
from tests.support.programs.validators import dciodvfy, dicom_sr_validator
from tests.support.shared_data import shared_data


def example(name: str) -> Path:
    """A file that comes with pydicom."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path)


def test_a_missing_peer_skips_and_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a desk the reason holds the peer, what is lacking and the Debian package."""
    monkeypatch.setitem(peers.PEERS, "nobody", ("nobody-utils", lambda: "no nobody"))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"peer missing: nobody \(no nobody; Debian: nobody-utils\)"):
        require_peer("nobody")


def test_a_missing_peer_fails_where_nothing_may_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI=true the same is a failure."""
    monkeypatch.setitem(peers.PEERS, "nobody", ("nobody-utils", lambda: "no nobody"))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="peer missing: nobody"):
        require_peer("nobody")


def test_missing_real_files_skip_and_name_themselves() -> None:
    """The reason holds the folder that is not there."""
    with pytest.raises(pytest.skip.Exception, match=r"real files missing: \.\./shared/data/no-such-folder"):
        shared_data("no-such-folder")


def test_programs_are_never_this_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """pynetdicom's scripts are named like dcmtk's programs; even first on the PATH they are passed by."""
    own = Path(sys.executable).parent
    assert (own / "storescu").exists()
    monkeypatch.setenv("PATH", f"{own}:/usr/bin")
    found = find_program("storescu")
    assert found is None or Path(found).parent != own
    require_peer("dcmtk")
    assert Path(dcmtk("storescu")) == Path("/usr/bin/storescu")


def test_free_ports_are_different() -> None:
    """Ports asked for together are never the same one."""
    assert len(set(free_ports(20))) == 20


def test_orthanc_receives_answers_and_comes_back(orthanc: Orthanc) -> None:
    """A file that storescu sends is found over REST byte for byte, and is still there after an outage."""
    image = example("CT_small.dcm")
    dataset = pydicom.dcmread(image)
    sent = storescu(orthanc.dicom_port, [image], called=orthanc.ae_title)
    assert sent.returncode == 0, sent.stderr
    [study] = orthanc.find("Study", PatientID=dataset.PatientID)
    assert study["MainDicomTags"]["StudyInstanceUID"] == dataset.StudyInstanceUID
    [stored] = orthanc.files(SOPInstanceUID=dataset.SOPInstanceUID)
    assert dataset.PixelData in stored
    ports = (orthanc.dicom_port, orthanc.http_port)
    orthanc.stop()
    assert storescu(orthanc.dicom_port, [image], called=orthanc.ae_title).returncode != 0
    orthanc.start()
    assert (orthanc.dicom_port, orthanc.http_port) == ports
    assert orthanc.rest("/statistics")["CountInstances"] == 1


def test_orthanc_speaks_dicomweb(tmp_path: Path) -> None:
    """With dicomweb=True QIDO-RS answers."""
    with Orthanc(tmp_path, dicomweb=True) as pacs:
        assert pacs.rest("/dicom-web/studies") == []


def test_dciodvfy_returns_errors_only(tmp_path: Path) -> None:
    """A file without its Modality has an error that names it; warnings are left out."""
    dataset = pydicom.dcmread(example("CT_small.dcm"))
    del dataset.Modality
    path = tmp_path / "without-modality.dcm"
    dataset.save_as(path)
    errors = dciodvfy(path)
    assert [line for line in errors if "Modality" in line]
    assert all(line.startswith("Error") for line in errors)


def test_the_report_validator_is_never_silent(tmp_path: Path) -> None:
    """One call, three files without a root template, two of them no SR at all: each has an error of its own."""
    report, image, text = example("test-SR.dcm"), example("CT_small.dcm"), tmp_path / "text.dcm"
    text.write_text("no DICOM")
    verdicts = dicom_sr_validator([report, image, text])
    assert list(verdicts) == [report, image, text]
    assert ["no root template was validated" in lines[-1] for lines in verdicts.values()] == [True] * 3


def test_the_report_validator_judges_templates() -> None:
    """Of two measurement reports of highdicom's the good one has no error, the other the ones that it is known for."""
    folder = shared_data("ImagingDataCommons_highdicom") / "data" / "test_files"
    good, bad = folder / "sr_document_with_multiple_groups.dcm", folder / "sr_document.dcm"
    verdicts = dicom_sr_validator([good, bad])
    assert verdicts[good] == []
    assert [line for line in verdicts[bad] if "Missing required content item" in line]
