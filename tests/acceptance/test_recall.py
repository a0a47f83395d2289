"""A version is withdrawn: what an archive that knows rejection notes shows then, and what one does that does not."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import KeyObjectSelectionDocumentStorage

from node.ledger import deliveries, instances, rejections, withdrawals
from node.ledger.delivery import DeliveryStatus
from node.ledger.instances import InstanceStatus
from node.ledger.job import JobOutcome
from plugins.phantoms.chest_series import SeriesHeader
from tests.acceptance.in_the_pacs import send, small_ct
from tests.support import wait
from tests.support.dimse.hiding_archive import HidingArchive, named
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import storescu
from tests.support.programs.validators import dciodvfy
from tests.support.sites.site import Site, destination, rule


def test_a_withdrawn_version_disappears_where_notes_are_known_and_is_listed_where_not(
    pacs: Orthanc, node_port: int, tmp_path: Path
) -> None:
    """And the next study is reported as not analysed; a note that comes back has no effect."""
    ct = small_ct(tmp_path / "ct")
    later = small_ct(tmp_path / "later", SeriesHeader(patient_id="P2", accession_number="A2"))
    assert later.study != ct.study
    with HidingArchive() as hiding:
        ways = {
            "pacs": destination(pacs.ae_title, pacs.dicom_port, rejection_notes=True),
            "hiding": destination(hiding.ae_title, hiding.port, rejection_notes=True, identity_check="none"),
        }
        listen = {"listen": {"host": "127.0.0.1", "port": node_port}}
        wanted = rule("mean-hu", send=["pacs", "hiding"])
        with Site(tmp_path / "node", ways, [wanted], None, listen) as site:
            send(ct, pacs, site)
            wait.until(lambda: hiding.shown and _delivered(site, ct.study), what="the result at both archives")
            sent = {each.item for each in deliveries.results_of_study(site.ledger.database, ct.study)}
            assert hiding.shown <= sent
            version = str(site.ledger.database.execute("SELECT version FROM plugin_versions").fetchone()[0])
            done = site.command("plugin", "withdraw", "mean-hu", version, "--reason", "safety", "--json")
            assert done.returncode == 0, done.stderr
            wait.until(lambda: _noted(site, ct.study), what="rejection notes at both archives")

            assert hiding.shown == set()
            (note,) = hiding.notes
            assert note.ConceptNameCodeSequence[0].CodeValue == "113037"
            assert named(note) <= sent
            there = [dcmread(BytesIO(each)) for each in pacs.files(StudyInstanceUID=ct.study)]
            assert {str(each.SOPInstanceUID) for each in there} >= sent, "Orthanc goes on showing what is rejected"
            (key_images,) = [each for each in there if str(each.SOPInstanceUID) == _note_uid(site, "pacs")]
            assert key_images.SOPClassUID == KeyObjectSelectionDocumentStorage
            assert key_images.PatientID == ct.header.PatientID
            path = tmp_path / "note.dcm"
            key_images.save_as(path, enforce_file_format=True)
            assert not [line for line in dciodvfy(path) if line.startswith("Error")]

            assert storescu(site.port, [path], called="PACSNODE", calling=pacs.ae_title).returncode == 0
            wait.until(lambda: _own(site, str(key_images.SOPInstanceUID)), what="the note to be known as ours")
            assert rejections.of_study(site.ledger.database, ct.study) == frozenset()

            send(later, pacs, site)
            wait.until(lambda: _not_analysed(site, later.study), what="the report that says not analysed")


def _delivered(site: Site, study: str) -> bool:
    rows = deliveries.results_of_study(site.ledger.database, study)
    return {each.destination for each in rows} == {"pacs", "hiding"} and all(
        each.status is DeliveryStatus.DELIVERED for each in rows
    )


def _noted(site: Site, study: str) -> bool:
    rows = withdrawals.of_study(site.ledger.database, study)
    return {each.destination for each in rows} == {"pacs", "hiding"} and {str(each.status) for each in rows} == {"done"}


def _note_uid(site: Site, name: str) -> str:
    sql = "SELECT item FROM deliveries WHERE id IN (SELECT note FROM withdrawals) AND destination=?"
    return str(site.ledger.database.execute(sql, [name]).fetchone()[0])


def _own(site: Site, uid: str) -> bool:
    found = instances.of_sop_instance(site.ledger.database, uid)
    return [each.status for each in found] == [InstanceStatus.OWN]


def _not_analysed(site: Site, study: str) -> bool:
    sql = "SELECT outcome, error FROM jobs WHERE study_instance_uid=? AND outcome IS NOT NULL"
    found = site.ledger.database.execute(sql, [study]).fetchone()
    return found is not None and found[0] == JobOutcome.FAILED and "not analysed: mean-hu" in found[1]
