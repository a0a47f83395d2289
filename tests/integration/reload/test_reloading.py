"""Rules saved while a real node runs: the next study is decided by them, a bad file changes nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from node.dimse.demo_pacs import DemoPACS
from node.ledger import decisions, deliveries, studies
from node.ledger.decisions import StoredDecision
from node.ledger.event_kinds import EventKind
from node.ledger.events import Event
from tests.acceptance.in_the_pacs import small_ct
from tests.support import history
from tests.support.images.receipts import ct
from tests.support.ports import free_port
from tests.support.programs.peers import storescu
from tests.support.sites.site import Site, destination
from tests.support.wait import until


def a_rule(name: str) -> dict[str, object]:
    """One that matches nothing that is sent here: only its decision counts."""
    return {"name": name, "when": {"Modality": "MR"}, "choose": {}, "run": "mean-hu", "mode": "shadow"}


class Reloading:
    """A site, and the studies sent to it."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.folder = folder
        self.sent = 0

    def decided(self) -> list[StoredDecision]:
        """Send a study, and return what was decided on it."""
        self.sent += 1
        uid = f"1.2.3.{self.sent}"
        dataset = ct(1, StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1", SOPInstanceUID=f"{uid}.1.1")
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = self.folder / f"{self.sent}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        done = storescu(self.site.port, [path], "PACSNODE", "CT1")
        assert done.returncode == 0, done.stderr
        until(lambda: self._is_decided(uid), what=f"study {uid} to be decided")
        return decisions.of_study(self.site.ledger.database, uid)

    def _is_decided(self, uid: str) -> bool:
        row = studies.get(self.site.ledger.database, uid)
        return row is not None and row.decided_revision > 0

    def save(self, *rules: object) -> None:
        """As the admin's editor does: a new file takes the old one's name."""
        content = {**json.loads(self.site.config.read_text()), "rules": rules}
        self.write(json.dumps(content, indent=2))

    def write(self, text: str) -> None:
        part = self.site.config.with_suffix(".part")
        part.write_text(text)
        part.rename(self.site.config)

    def told(self, kind: str) -> list[Event]:
        return [each for each in history.latest(self.site.ledger.database, 100) if each.kind == kind]

    def wait_told(self, kind: str, times: int) -> Event:
        until(lambda: len(self.told(kind)) >= times, what=f"{kind} {times} times")
        return self.told(kind)[0]


def test_rules_are_swapped_refused_and_kept_over_a_death(tmp_path: Path) -> None:
    """Saved: in force for the next study. Bad: the old ones go on, `status` says so, and a process that dies and is
    started again goes by them too. Put right and SIGHUP: in force."""
    with Site(tmp_path / "node", {}, rules=[a_rule("first")]) as site:
        node = Reloading(site, tmp_path)
        [first] = node.decided()
        assert first.rule == "first"

        node.save(a_rule("second"))
        assert node.wait_told(EventKind.RULES_IN_FORCE, 2).detail["added"] == ["second"]
        [second] = node.decided()
        assert second.rule == "second"
        assert second.rule_set == node.told(EventKind.RULES_IN_FORCE)[0].detail["digest"] != first.rule_set

        good = site.config.read_text()
        node.write(good.replace('"mode": "shadow"', '"mode": "shado"'))
        refused = node.wait_told(EventKind.RULES_REFUSED, 1)
        assert 'did you mean "shadow"?' in refused.detail["problems"][0]
        status = site.command("status")
        assert status.returncode == 0, status.stderr
        assert "refused, the previous rules stay in force" in " ".join(status.stdout.split())
        assert [each.rule_set for each in node.decided()] == [second.rule_set]

        for name in ("node.app", "node.receive"):
            died = site.process(name)
            assert died is not None
            died.kill()
            until(lambda old=died, name=name: site.process(name) not in (None, old), what=f"{name} to be back")
        assert [each.rule_set for each in node.decided()] == [second.rule_set]
        assert len(node.told(EventKind.RULES_REFUSED)) == 1

        node.write(good.replace("second", "third"))
        psutil.Process(json.loads((site.data / "listening.json").read_text())["pid"]).send_signal(signal.SIGHUP)
        node.wait_told(EventKind.RULES_IN_FORCE, 3)
        assert [each.rule for each in node.decided()] == ["third"]
        assert site.status()["rules"]["refused"] == []


def test_results_that_wait_go_where_the_changed_file_says(tmp_path: Path) -> None:
    """The PACS has moved to another port: saved, and what waited for it is delivered, once, without a restart."""
    ct = small_ct(tmp_path / "ct")
    gone = destination("PACS", free_port(), identity_check="none")
    with DemoPACS(tmp_path / "pacs", "PACS") as pacs, Site(tmp_path / "node", {"pacs": gone}) as site:
        node = Reloading(site, tmp_path)
        assert storescu(site.port, ct.files, "PACSNODE", "CT1").returncode == 0
        until(lambda: [each.error for each in deliveries.of_study(site.ledger.database, ct.study)], what="results")
        content = json.loads(site.config.read_text())
        content["destinations"]["pacs"]["port"] = pacs.port
        node.write(json.dumps(content))
        assert node.wait_told(EventKind.CONFIGURATION_IN_FORCE, 1).detail["changed"] == ["destinations"]
        site.wait_delivered(ct.study, 3)
        assert (len(pacs.files()), pacs.received_again) == (3, 0)
