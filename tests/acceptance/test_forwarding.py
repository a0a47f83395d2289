"""The node in between: images go on as they came, each once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless

from node.dimse import storage_scu
from node.dimse.scu import Peer
from node.ledger import deliveries, forwards, instances, studies
from node.ledger.delivery import DeliveryStatus
from node.ledger.instances import InstanceStatus
from node.outcome import AnswerReading
from node.store.arrival import read_arrival
from node.store.layout import DataFolder
from plugins.phantoms.chest_series import SeriesHeader
from tests.acceptance.conftest import MakeSite
from tests.acceptance.in_the_pacs import CT, send, small_ct
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.storescp import StoreSCP
from tests.support.sites.site import Site, destination, rule
from tests.support.wait import until

PRIVATE = "1.3.12.2.1107.5.9.1"
LATER: dict[str, object] = {"when": {"Modality": "CT"}, "mode": "clinical"}


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[StoreSCP]:
    with StoreSCP(tmp_path / "archive") as scp:
        yield scp


def forward(*to: str, name: str = "forward", **more: Any) -> dict[str, object]:
    coerce = more.pop("coerce", None)
    return {"name": name, **LATER, "forward": {"to": list(to), **({"coerce": coerce} if coerce else {})}, **more}


def bring(site: Site, files: Sequence[Path], calling: str = "CT1") -> None:
    """C-STORE these files, whatever they are, in one association."""
    outcomes = storage_scu.send(Peer("127.0.0.1", site.port, "PACSNODE", calling), files)
    assert [outcome.reading for _, outcome in outcomes] == [AnswerReading.STORED] * len(files)


def received(site: Site, study: str) -> dict[str, tuple[str, bytes]]:
    """SOP Instance UID → transfer syntax and data set, as the node has them."""
    data_folder = DataFolder(site.data)
    found = {}
    for each in instances.of_study(site.ledger.database, study):
        path = data_folder.find(each.receipt)
        found[each.sop_instance_uid] = (each.transfer_syntax_uid, path.read_bytes()[read_arrival(path)[1] :])
    return found


def standing(site: Site, study: str) -> dict[tuple[str, DeliveryStatus], int]:
    found: dict[tuple[str, DeliveryStatus], int] = {}
    for each in forwards.of_study(site.ledger.database, study):
        key = each.destination, each.status
        found[key] = found.get(key, 0) + each.instances
    return found


def wait_sent(site: Site, study: str, **counts: int) -> None:
    """Until so many images of the study have arrived at each destination."""
    wanted = {(name, DeliveryStatus.DELIVERED): count for name, count in counts.items()}
    until(lambda: wanted.items() <= standing(site, study).items(), what=f"{counts} of {study}")


def variants(ct: CT, folder: Path) -> list[Path]:
    """One slice each in implicit VR, JPEG-LS, and of a private SOP class; the others as they are."""
    folder.mkdir()
    changed = []
    for number, path in enumerate(ct.files[:3]):
        image = dcmread(path)
        if number == 0:
            image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            image.save_as(folder / path.name, implicit_vr=True, little_endian=True)
        elif number == 1:
            image.compress(JPEGLSLossless, generate_instance_uid=False)
            image.save_as(folder / path.name)
        else:
            image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = PRIVATE  # type: ignore[assignment]
            image.save_as(folder / path.name)
        changed.append(folder / path.name)
    return [*changed, *ct.files[3:6]]


def test_images_go_on_byte_for_byte_and_without_loss_where_the_syntax_is_refused(
    archive: StoreSCP, tmp_path: Path
) -> None:
    """Implicit, explicit, JPEG-LS, a private class: the same data sets. Where implicit VR alone is taken: the same
    pixels and values; the private class not at all, in words. A destination that is down gets all when it is back.
    """
    ct = small_ct(tmp_path / "ct")
    files = variants(ct, tmp_path / "variants")
    with StoreSCP(tmp_path / "plain", "PLAIN", ("+xi",)) as plain, StoreSCP(tmp_path / "late", "LATE") as late:
        late.stop()
        names = {"archive": archive, "plain": plain, "late": late}
        targets = {name: destination(each.ae_title, each.port) for name, each in names.items()}
        with Site(tmp_path / "node", targets, [forward(*targets)]) as site:
            bring(site, files)
            wait_sent(site, ct.study, archive=6, plain=5)
            came = received(site, ct.study)
            assert {syntax for syntax, _ in came.values()} == {
                ImplicitVRLittleEndian,
                ExplicitVRLittleEndian,
                JPEGLSLossless,
            }
            assert archive.data_sets() == came
            assert archive.times_stored() == 6
            for uid, (syntax, data) in plain.data_sets().items():
                assert syntax == ImplicitVRLittleEndian
                assert_same(came[uid], (syntax, data))
            dead = ("plain", DeliveryStatus.DEAD)
            until(lambda: standing(site, ct.study).get(dead) == 1, what="the private class to be given up")
            (alert,) = [each for each in site.status()["alerts"] if each["detail"].get("destination") == "plain"]
            assert "cannot be brought into another one without loss" in alert["detail"]["error"]

            late_ones = ("late", DeliveryStatus.WAITING)
            until(lambda: standing(site, ct.study).get(late_ones) == 6, what="those that wait to be so again")
            late.start()
            wait_sent(site, ct.study, late=6)
            assert late.data_sets() == came
            until(lambda: not list((site.data / "outgoing").rglob("*.dcm")), what="the copies to be gone")


def assert_same(sent: tuple[str, bytes], stored: tuple[str, bytes]) -> None:
    """Pixels, decoded, and every value."""
    before, after = as_file(*sent), as_file(*stored)
    for one, other in zip(iter_pixels(before), iter_pixels(after), strict=True):
        assert np.array_equal(one, other)
    for dataset in (before, after):
        del dataset.PixelData
    assert {e.tag: e.value for e in before} == {e.tag: e.value for e in after}


def as_file(syntax: str, data: bytes) -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax  # type: ignore[assignment]
    buffer = BytesIO()
    empty = Dataset()
    empty.file_meta = meta
    dcmwrite(buffer, empty, enforce_file_format=False)
    return dcmread(BytesIO(buffer.getvalue() + data), force=True)


def test_topology_3_the_node_sits_in_between(tmp_path: Path, pacs: Orthanc, make_site: MakeSite) -> None:
    """The PACS gets the study from the node alone: images first, then the results, which name them; a late slice goes
    too. What the PACS sends is not sent back to it, and results that come back from it go nowhere.
    """
    ct = small_ct(tmp_path / "ct")
    early, late = ct.files[:-1], ct.files[-1:]
    with make_site(rules=[rule(), forward("pacs")]) as site:
        bring(site, early)
        site.wait_delivered(ct.study, 3)
        order = [
            each.receipt is None
            for each in sorted(deliveries.of_study(site.ledger.database, ct.study), key=lambda one: str(one.sent_at))
        ]
        assert order == [False] * len(early) + [True] * 3
        bring(site, late)
        site.wait_delivered(ct.study, 6, revision=2)
        wait_sent(site, ct.study, pacs=len(ct.files))
        assert pacs.rest("/statistics")["CountInstances"] == len(ct.files) + 6
        (study,) = pacs.find("Study", StudyInstanceUID=ct.study)
        pacs.post("/modalities/PACSNODE/store", study["ID"])
        until(lambda: count(site, ct.study, InstanceStatus.OWN) == 6, what="the results to be known as our own")
        assert standing(site, ct.study) == {("pacs", DeliveryStatus.DELIVERED): len(ct.files)}

        other = small_ct(tmp_path / "other", SeriesHeader(patient_id="P2", accession_number="A2"))
        bring(site, other.files, calling=pacs.ae_title)
        until(lambda: decided(site, other.study), what="the study of the PACS to be decided")
        assert standing(site, other.study) == {}
        assert not [each for each in site.status()["alerts"] if each["study_instance_uid"] == ct.study]


def count(site: Site, study: str, status: InstanceStatus) -> int:
    return len(instances.of_study(site.ledger.database, study, [status]))


def decided(site: Site, study: str) -> bool:
    found = studies.get(site.ledger.database, study)
    return found is not None and found.decided_revision > 0


_NIGHT = pytest.mark.at_night("the kill with a coerced copy on disk, and the crash matrix")


@pytest.mark.parametrize(
    ("point", "again"),
    [
        pytest.param("node.route.forwarding:enqueue:after", 0, marks=_NIGHT),
        pytest.param("node.deliver.ways.dimse:_DicomSender.store:after:5", 1, marks=_NIGHT),
        ("node.deliver.copies:Copies.make:after:2", 1),
    ],
)
def test_fault_55_killed_while_images_are_sent_on(point: str, again: int, archive: StoreSCP, tmp_path: Path) -> None:
    """In the decision, when the archive has an image, with a coerced copy on disk: nothing is lost, at most
    the one under way is sent again under the same UID, and the copies are the same and gone.
    """
    ct = small_ct(tmp_path / "ct")
    environment = {"PACSNODE_TEST_KILL": point, "PACSNODE_TEST_KILL_ONCE": str(tmp_path / "killed")}
    rules = [forward("archive", coerce={"InstitutionName": "Site A"})]
    targets = {"archive": destination("ARCHIVE", archive.port)}
    with Site(tmp_path / "node", targets, rules, environment=environment) as site:
        send(ct, site)
        wait_sent(site, ct.study, archive=len(ct.files))
        assert (tmp_path / "killed").exists()
        assert archive.times_stored() == len(ct.files) + again
        came, held = received(site, ct.study), archive.data_sets()
        assert held.keys() == came.keys()
        for uid, (syntax, data) in held.items():
            sent, stored = as_file(*came[uid]), as_file(syntax, data)
            assert (stored.InstitutionName, stored.PixelData) == ("Site A", sent.PixelData)
            (item,) = stored.OriginalAttributesSequence
            assert item.SourceOfPreviousValues == "CT1"
        until(lambda: not list((site.data / "outgoing").rglob("*.dcm")), what="the copies to be gone")
