"""A real node on a clock that the test sets: rules that ask early, wait, let results expire, and tell people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from node.ledger import decisions, deliveries, jobs, notifications, studies, timers
from node.ledger.delivery import DeliveryStatus
from node.ledger.notifications import NotificationStatus
from node.ledger.studies import StudyStatus
from tests.support.images.receipts import SERIES, STUDY, ct
from tests.support.ports import free_port
from tests.support.sites.listeners import MailServer, WebService, mail_server, web_service
from tests.support.sites.site import Site, destination, rule
from tests.support.wait import until

RULES: list[dict[str, object]] = [
    rule(
        name="late",
        send="away",
        expires={"after": "2 hours", "then": "notify", "notify": {"whom": "duty", "text": "It came late."}},
    ),
    rule(name="too-late", send="away", expires={"after": "2 hours", "then": "withhold"}),
    rule(
        name="pair",
        mode="pilot",
        send="away",
        wait={
            "until": {"series_count": {"at_least": 3}},
            "at_most": "1 hours",
            "otherwise": "notify",
            "notify": {"whom": "desk", "text": "A series is missing."},
        },
    ),
    rule(name="early", decide="series complete", once="series", choose={"take": "all"}, send=[], mode="shadow"),
]


class Node:
    """A site, its clock, and who is told."""

    def __init__(self, folder: Path, mail: MailServer, web: WebService) -> None:
        self.ahead = folder / "ahead"
        self.ahead.write_text("0")
        away = destination("AWAY", free_port(), identity_check="none")
        environment = {
            "PACSNODE_TEST_AHEAD": str(self.ahead),
            "PACSNODE_TEST_KILL": "node.ledger.notifications:taken:before",
            "PACSNODE_TEST_KILL_ONCE": str(folder / "died"),
        }
        self.site = Site(folder / "node", {"away": away}, rules=RULES, environment=environment)
        configuration: dict[str, Any] = json.loads(self.site.config.read_text())
        configuration["people"] = {"duty": {"webhook": {"url": web.url}}, "desk": {"email": "desk@hospital.example"}}
        server = {"host": "127.0.0.1", "port": mail.port, "tls": "none", "sender": "node@hospital.example"}
        configuration["notify"] = {"mail": server}
        self.site.config.write_text(json.dumps(configuration))

    @property
    def database(self) -> Any:
        return self.site.ledger.database

    def status(self) -> StudyStatus | None:
        row = studies.get(self.database, STUDY)
        return row.status if row else None

    def outcomes(self, name: str) -> list[str]:
        return [str(each.outcome) for each in decisions.of_study(self.database, STUDY) if each.rule == name]

    def deliveries_of(self, name: str) -> set[DeliveryStatus]:
        of = [job.id for job in jobs.of_study(self.database, STUDY) if job.rule == name]
        return {each.status for each in deliveries.of_study(self.database, STUDY) if each.job in of}

    def told(self) -> set[NotificationStatus]:
        return {each.status for each in notifications.of_study(self.database, STUDY)}


def slices(series: str) -> list[Dataset]:
    found = []
    for number in (1, 2):
        dataset = ct(number, SeriesInstanceUID=series, SOPInstanceUID=f"{series}.{number}")
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        found.append(dataset)
    return found


def test_early_late_waiting_and_told_over_a_death(tmp_path: Path) -> None:
    """One study, one association, the clock set ahead twice: each thing once, in its time. The node dies as it has told
    somebody and before it has written that down: told again, under the same identifier."""
    with mail_server() as mail, web_service() as web, (node := Node(tmp_path, mail, web)).site as site:
        modality = AE("CT1")
        modality.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = modality.associate("127.0.0.1", site.port, ae_title="PACSNODE")
        assert association.is_established
        for dataset in slices(SERIES):
            assert association.send_c_store(dataset).Status == 0
        until(lambda: node.outcomes("early") == ["matched"], what="the first series to be decided by itself")
        assert (node.status(), node.outcomes("late")) == (StudyStatus.RECEIVING, [])
        for dataset in slices(f"{STUDY}.2"):
            assert association.send_c_store(dataset).Status == 0
        association.release()
        until(lambda: node.outcomes("pair") == ["waiting"], what="the study to be decided")
        sent = ("late", "too-late")
        until(
            lambda: all(node.deliveries_of(name) == {DeliveryStatus.WAITING} for name in sent), what="results to wait"
        )
        assert sorted(job.subject for job in jobs.of_study(node.database, STUDY) if job.rule == "early") == [
            SERIES,
            f"{STUDY}.2",
        ]
        said = site.status()
        assert [each["rule"] for each in said["waiting"]] == ["pair"]
        assert "more is awaited until" in said["waiting"][0]["why"]

        node.ahead.write_text("3700")
        until(
            lambda: len(mail.received) == 2,
            what="the desk to be told, and again by the process after the one that died",
        )
        assert (tmp_path / "died").exists()
        assert len({each["Message-ID"] for each in mail.received}) == 1
        assert node.outcomes("pair") == ["waiting", "matched"]
        assert timers.waiting(node.database) == []
        assert web.received == []

        node.ahead.write_text("7300")
        until(lambda: web.received, what="the radiologist on duty to be told")
        until(
            lambda: node.deliveries_of("too-late") == {DeliveryStatus.WITHHELD}, what="the late result to be withheld"
        )
        assert node.deliveries_of("late") == {DeliveryStatus.WAITING}
        until(lambda: node.told() == {NotificationStatus.SENT}, what="both to be recorded")
        told = notifications.of_study(node.database, STUDY)
        assert sorted((each.person, str(each.occasion)) for each in told) == [("desk", "wait-over"), ("duty", "late")]
        assert (len(mail.received), len(web.received)) == (2, 1)
        assert "A series is missing." in mail.received[0].get_content()
        assert web.received[0]["text"] == "It came late."
        assert "Gildong" not in str(web.received) + str(mail.received[0])
        assert "Gildong" not in site.log()
        shown = site.command("study", STUDY).stdout
        assert "withheld" in shown
        assert "wait over" in shown
