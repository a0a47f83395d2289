"""A whole node and a web service: one analysis and one result, also after kill -9."""

from __future__ import annotations

import threading
from pathlib import Path

from pydicom import dcmread
from starlette.responses import Response

from node.dimse.demo_pacs import DemoPACS
from node.ledger import attempts, jobs
from node.ledger.attempts import AttemptState
from node.ledger.job import JobOutcome
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from tests.support.programs.peers import storescu
from tests.support.sites.ai_service import AiService, serving
from tests.support.sites.service_room import manifest_of
from tests.support.sites.site import Site, destination, rule
from tests.support.wait import until


def _is_sent(port: int, files: list[Path]) -> bool:
    """Whether the node took them; a machine that is busy may need longer for its receivers than storescu waits."""
    return storescu(port, files, called="PACSNODE", calling="CT1", options=("-R",)).returncode == 0


def test_fault_55_kill_9_while_a_service_takes_the_images(tmp_path: Path) -> None:
    """Its word that it has them is lost: it gets them again under the same key, and works on them once."""
    files = chest_series.write_series(Chest(size=64, slice_mm=60.0), tmp_path / "ct")
    plugin, taken, died = tmp_path / "lungs", threading.Event(), threading.Event()
    plugin.mkdir()
    (plugin / "plugin.toml").write_text(manifest_of())

    def held() -> Response:
        taken.set()
        died.wait()
        return Response(status_code=503)

    with serving(AiService(after=[held])) as ai, DemoPACS(tmp_path / "pacs", "PACS") as pacs:
        for path in files:
            (pacs.folder / f"{path.stem}.dcm").symlink_to(path)
        sections = {"services": {"ai": {"url": ai.url, "poll": "1s"}}}
        to, plugins = {"pacs": destination("PACS", pacs.port)}, {"lungs": {"folder": str(plugin)}}
        with Site(tmp_path / "node", to, [rule("lungs")], plugins, None, sections=sections) as site:
            until(lambda: _is_sent(site.port, files), what="the node to take the images")
            study = str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
            try:
                until(taken.is_set, 900, "the service to have the images")
                site.power_off()
            finally:
                died.set()
            site.restart()
            until(
                lambda: any(each.outcome for each in jobs.of_study(site.ledger.database, study)),
                900,
                "the answer to be taken",
            )
            (job,) = jobs.of_study(site.ledger.database, study)
            (attempt,) = attempts.of_job(site.ledger.database, job.id)
            assert (job.outcome, attempt.state) == (JobOutcome.FINDINGS, AttemptState.ANSWERED), job.error
            assert len(ai.begun) == 1
            assert [method for method, _ in ai.asked].count("POST") == 2
            (shown,) = site.status()["services"]
            assert (shown["name"], shown["jobs"]) == ("ai", 0)
