"""Storage commitment asked for what retention removes or has removed: no promise, and no alarm about the disk."""

from __future__ import annotations

import pytest

from node.desk import actions
from node.desk.actor import Actor, ActorKind
from node.errors import PermanentError
from node.ledger import purges
from node.ledger.commitment import CommitmentStatus
from tests.support import history
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.sites.commit_room import CommitRoom, images
from tests.support.sites.gone_site import begin, purge, unlink


@pytest.fixture
def stored(room: CommitRoom) -> CommitRoom:
    """Two slices, stored, complete."""
    for number in (1, 2):
        arrive(room.data_folder, ct(number))
    room.index.quiet(400)
    return room


def said(room: CommitRoom, *numbers: int, transaction: str = "1.2.3.78") -> list[int | None]:
    room.ask(images(*numbers), transaction=transaction)
    room.run()
    return [item.failure for item in room.commit_items(room.rows[-1].id)]


def test_what_is_gone_is_not_committed(stored: CommitRoom) -> None:
    """0112H, no such object instance: it is the truth, whatever was promised and kept for its time."""
    assert said(stored, 1, transaction="1.2.3.77") == [0]
    purge(stored.node)
    assert said(stored, 1, 2) == [0x0112, 0x0112]
    assert history.open_alerts(stored.ledger.database) == []


@pytest.mark.parametrize("unlinked", [False, True])
def test_what_is_going_is_not_committed(stored: CommitRoom, unlinked: bool) -> None:
    """Whether its file is still there or not: and no alert says that the disk has lost it."""
    begun = begin(stored.node)
    if unlinked:
        unlink(stored.node, begun)
    assert said(stored, 1) == [0x0112]
    assert history.open_alerts(stored.ledger.database) == []


def test_what_came_again_is_committed(stored: CommitRoom) -> None:
    """By its new file."""
    purge(stored.node)
    arrive(stored.data_folder, ct(1))
    stored.index.quiet(400)
    assert said(stored, 1, 2) == [0, 0x0112]


def test_a_request_whose_images_are_gone_is_not_decided_again(stored: CommitRoom) -> None:
    """Its items were removed with them: a report on the rest, or on nothing, would be no answer. Asking again is."""
    assert said(stored, 1, 2) == [0, 0]
    (row,) = stored.rows
    with stored.ledger.transaction() as database:
        database.execute("UPDATE commitments SET status=? WHERE id=?", [CommitmentStatus.REPORTED, row.id])
    purge(stored.node)
    assert purges.series_of(stored.ledger.database, 1)[0].committed == 2
    with pytest.raises(PermanentError, match="deleted by retention"):
        actions.retry(stored.ledger, f"commitment:{row.id}", stored.clock.now(), Actor(ActorKind.OS, "alice"))
    assert STUDY not in {item.study_instance_uid for item in stored.commit_items(row.id)}
