"""A whole node and a vendor's box: the answer is taken by the attempt that asked for it, also after kill -9."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.dimse.demo_pacs import DemoPACS
from node.ledger import attempts, instances, jobs, studies
from node.ledger.attempts import AttemptState
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job, JobOutcome
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from tests.support.dimse.vendor_box import VendorBox
from tests.support.ports import free_port
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import storescu
from tests.support.sites.box_room import MANIFEST
from tests.support.sites.site import Site, destination, rule
from tests.support.wait import until

CHEST = Chest(size=64, slice_mm=60.0)
_FORWARDS = """
function OnStoredInstance(instanceId, tags, metadata, origin)
   if origin['RequestOrigin'] == 'DicomProtocol' then
      local answer = ModifyInstance(instanceId, { SeriesDescription = 'Vendor result' }, {}, true)
      Delete(SendToModality(answer, 'PACSNODE'))
   end
end
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return chest_series.write_series(CHEST, tmp_path_factory.mktemp("ct"))


@pytest.fixture
def pacs(tmp_path: Path, files: list[Path]) -> Iterator[DemoPACS]:
    with DemoPACS(tmp_path / "pacs", "PACS") as demo:
        for path in files:
            (demo.folder / f"{path.stem}.dcm").symlink_to(path)
        yield demo


def _site(
    tmp_path: Path, pacs: DemoPACS, box: dict[str, Any], runtime: str, node: dict[str, Any] | None = None
) -> Site:
    plugin = tmp_path / "cad"
    plugin.mkdir()
    (plugin / "plugin.toml").write_text(MANIFEST.format(runtime=runtime, identity="pseudonym"))
    boxes = {"cad": {"host": "127.0.0.1", "timeout": "20s", "charged": True, **box}}
    rules, plugins = [rule("cad")], {"cad": {"folder": str(plugin)}}
    to = {"pacs": destination("PACS", pacs.port)}
    return Site(tmp_path / "node", to, rules, plugins, node, sections={"boxes": boxes})


def _at(box: VendorBox) -> dict[str, Any]:
    return {"ae_title": box.ae_title, "port": box.port}


def _send(site: Site, files: list[Path]) -> str:
    done = storescu(site.port, files, called="PACSNODE", calling="CT1", options=("-R",))
    assert done.returncode == 0, done.stderr
    return str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)


def _job(site: Site, study: str) -> Job | None:
    return next(iter(jobs.of_study(site.ledger.database, study)), None)


def _is_waited_for(site: Site, study: str) -> bool:
    job = _job(site, study)
    last = attempts.last_of(site.ledger.database, job.id) if job else None
    return last is not None and last.state is AttemptState.RUNNING


def test_fault_55_kill_9_while_a_box_works(tmp_path: Path, pacs: DemoPACS, files: list[Path]) -> None:
    """The same attempt takes the answer; the box is sent nothing twice; the PACS gets the report."""
    with (
        VendorBox() as box,
        _site(tmp_path, pacs, {"ae_title": "CADBOX", "port": box.port}, 'expects = ["sr"]') as site,
    ):
        study = _send(site, files)
        until(lambda: _is_waited_for(site, study), what="the box to have all images")
        site.power_off()
        site.restart()
        assert box.send([box.report()], site.port) == [0x0000]
        until(lambda: (job := _job(site, study)) is not None and job.outcome, what="the answer to be taken")
        job = _job(site, study)
        assert job is not None
        (attempt,) = attempts.of_job(site.ledger.database, job.id)
        assert (job.outcome, attempt.state) == (JobOutcome.FINDINGS, AttemptState.ANSWERED)
        assert sorted(each.InstanceNumber for each in box.received) == list(range(1, len(files) + 1))
        until(lambda: jobs.get(site.ledger.database, job.id).encoded_at, what="the report to be made")
        row = studies.get(site.ledger.database, study)
        assert row is not None
        assert row.revision == 1
        (shown,) = site.status()["boxes"]
        assert (shown["name"], shown["unmatched"], shown["jobs"]) == ("cad", 0, 0)


def test_orthanc_as_a_box_that_forwards_what_it_gets(tmp_path: Path, pacs: DemoPACS, files: list[Path]) -> None:
    """Objects without a reference to anything are known by their study, and none of them is an image of a study."""
    port = free_port()
    script = tmp_path / "forward.lua"
    script.write_text(_FORWARDS)
    options = {"LuaScripts": [str(script)]}
    with Orthanc(tmp_path / "orthanc", "ORTHANCBOX", modalities={"PACSNODE": port}, options=options) as orthanc:
        box = {"ae_title": orthanc.ae_title, "port": orthanc.dicom_port}
        listen = {"listen": {"host": "127.0.0.1", "port": port}}
        with _site(tmp_path, pacs, box, "quiet_seconds = 3", listen) as site:
            study = _send(site, files)
            until(lambda: (job := _job(site, study)) is not None and job.outcome, what="the answer to be taken")
            job = _job(site, study)
            assert job is not None
            assert job.outcome is JobOutcome.FINDINGS, job.error
            assert len(instances.of_study(site.ledger.database, study, list(InstanceStatus))) == len(files)
            (attempt,) = attempts.of_job(site.ledger.database, job.id)
            assert attempt.sent_study_uid is not None
            came = instances.of_study(site.ledger.database, attempt.sent_study_uid, list(InstanceStatus))
            assert {each.status for each in came} == {InstanceStatus.ANSWER}
