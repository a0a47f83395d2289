"""Who is told and who is asked follows the configuration, also while the node runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.clock import SystemClock
from node.commit.room import Commitments
from node.config import in_force
from node.config.in_force import InForce
from node.config.loading import read
from node.dimse.scu import Peer
from node.ledger.commitments import CommitmentStatus
from tests.support.commit_room import Archive, CommitRoom, Told, images
from tests.support.index_room import configuration
from tests.support.receipts import arrive, ct

TOLD = {"host": "127.0.0.1", "port": 11199}
PACS = {"ae_title": "PACS", "host": "127.0.0.1", "port": 11198}
CALLED = {"pacs": Peer("127.0.0.1", 11198, "PACS", "PACSNODE")}


def test_who_may_ask_changes_while_the_node_runs(room: CommitRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """None, one, the same through an archive, none again: each part is handed out once, and is idle when unneeded."""
    told, archive = Told(monkeypatch), Archive(monkeypatch)
    nobody = configuration(modalities={"ct1": {"ae_title": "CT1"}}, destinations={"pacs": PACS})
    one, through = (
        configuration(
            modalities={"ct1": {"ae_title": "CT1", "storage_commitment": TOLD | more}}, destinations={"pacs": PACS}
        )
        for more in ({}, {"commit_through": "pacs"})
    )
    made = Commitments(room.ledger, room.spool, room.clock, room.index.signal, nobody)
    _, decide = made.decides
    parts = dict(made.use(nobody, CALLED))
    assert parts == {}
    parts |= made.use(one, CALLED)
    assert list(parts) == ["report-CT1"]
    parts |= made.use(through, CALLED)
    assert list(parts) == ["report-CT1", "commitment-of-pacs"]
    assert made.use(through, CALLED) == []
    arrive(room.spool, ct(1))
    room.index.index.run_once()
    room.ask(images(1))
    decide()
    parts["commitment-of-pacs"]()
    assert len(archive.asked) == 1
    made.use(nobody, CALLED)
    for run_once in (parts["commitment-of-pacs"], decide, decide, parts["report-CT1"]):
        run_once()
    assert [row.status for row in room.rows] == [CommitmentStatus.DEAD], "nobody is left to be told"
    assert told.reports == []


def test_receivers_are_changed_for_it(tmp_path: Path) -> None:
    """Who may ask is negotiated by the receiver: those that run do not know it."""
    running, wanted = (in_force_of(tmp_path, text) for text in ("", ", storage_commitment: {host: h, port: 104}"))
    assert in_force.concerns_receivers(running, wanted)
    assert not in_force.concerns_receivers(running, in_force_of(tmp_path, ", quiet: 30s"))


def in_force_of(folder: Path, more: str) -> InForce:
    """A configuration in which CT1 has something more."""
    path = folder / "config.yaml"
    path.write_text(f"node: {{time_zone: Asia/Seoul}}\nmodalities:\n  ct1: {{ae_title: CT1{more}}}\n")
    return InForce.of(read(path), SystemClock().now(), "me")
