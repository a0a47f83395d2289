"""Reports on associations of our own: one thread a requester, so that one that is down delays nobody else."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import structlog

from node.commit.stage import report_of, settings_of
from node.config.models import Configuration
from node.config.values import span_text
from node.dimse.commitment_scu import report
from node.dimse.scu import Peer
from node.dimse.status import is_taken, status_text
from node.errors import NodeError, PermanentError
from node.items import Item, Items
from node.ledger import commitments
from node.ledger.clock_changes import DueTimes
from node.ledger.commitment import Commitment, CommitmentStatus
from node.ledger.database import Database
from node.stage import Node, NodeStage

log = structlog.get_logger(__name__)

_IDLE = timedelta(minutes=1)
_REFUSALS = 5
"""Answers that refuse the report, until it is a dead letter."""


class CommitmentReporter(NodeStage):
    """Tells one AE what became of its requests."""

    def __init__(self, requester: str, node: Node, configuration: Configuration) -> None:
        self._requester = requester
        self._ledger = node.ledger
        self._clock = node.clock
        self._items = Items("report", node)
        self._due_times = DueTimes(node.ledger, node.clock, "commitments")
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Where this AE gets its reports, from the next one on."""
        settings = settings_of(configuration, self._requester)
        assert settings is not None, self._requester
        self._settings = settings

    def run_once(self) -> float:
        """Report what is due; seconds until something may be due again."""
        self._due_times.keep()
        for commitment in self._due():
            if not self._items.handle(_item(commitment), partial(self._report, commitment), otherwise=True):
                break
        next_at = commitments.next_due_at(self._ledger.database, CommitmentStatus.DECIDED, self._requester)
        wait = _IDLE if next_at is None else min(_IDLE, next_at - self._clock.now())
        return max(0.5, wait.total_seconds())  # what still belongs to its association is not ours yet

    def _due(self) -> list[Commitment]:
        found = commitments.due(self._ledger.database, CommitmentStatus.DECIDED, self._clock.now(), self._requester)
        return [each for each in found if not each.association]

    def _peer(self, commitment: Commitment) -> Peer:
        settings = self._settings
        return Peer(
            host=settings.host,
            port=settings.port,
            ae_title=self._requester,
            calling_ae_title=commitment.called_ae_title,
            timeout=settings.timeout.total_seconds(),
            tls=settings.tls.credentials(settings.host) if settings.tls else None,
        )

    def _report(self, commitment: Commitment) -> bool:
        """Report one; false where the requester could not be reached at all."""
        with self._ledger.transaction() as database:
            commitments.trying(database, commitment.id)
        peer = self._peer(commitment)
        try:
            status = report(peer, report_of(self._ledger.database, commitment))
        except NodeError as error:
            log.warning("commit.not-reported", requester=self._requester, reason=str(error))
            self._wait_together(str(error), rejected=isinstance(error, PermanentError))
            return False
        with self._ledger.transaction() as database:
            if commitments.get(database, commitment.id).status is not CommitmentStatus.DECIDED:
                return True  # a person has had it decided again meanwhile
            if is_taken(status):
                commitments.reported(
                    database, self._clock.now(), commitment.id, status or 0, "on an association of ours"
                )
            elif status is None:
                self._wait(database, commitment, f"{peer} did not answer the report")
            elif commitment.refusals + 1 >= _REFUSALS:
                commitments.dead(database, self._clock.now(), commitment.id, f"{peer}: {status_text(status)}")
            else:
                self._wait(database, commitment, f"{peer}: {status_text(status)}", refused=True)
        return True

    def _wait_together(self, error: str, *, rejected: bool) -> None:
        """None of what is due could be reported."""

        def wait(database: Database, each: Commitment) -> None:
            if commitments.get(database, each.id).status is CommitmentStatus.DECIDED:
                self._wait(database, each, error, rejected=rejected)

        self._ledger.settle_each(self._due(), wait)

    def _wait(
        self,
        database: Database,
        commitment: Commitment,
        error: str,
        *,
        refused: bool = False,
        rejected: bool = False,
    ) -> None:
        now, retry = self._clock.now(), self._settings.retry
        age = commitment.waited
        if age >= retry.give_up_after:
            commitments.dead(database, now, commitment.id, f"{error}; tried for {span_text(age)}")
        else:
            again = now + retry.pause(age)
            by = self._requester if rejected else None
            commitments.wait(database, now, commitment.id, again, error, refused=refused, rejected=by)


def _item(commitment: Commitment) -> Item:
    """After an unexpected exception: later in its own row, and a dead letter in the end."""

    def put_off(database: Database, now: datetime, again: datetime, why: str) -> None:
        if commitments.get(database, commitment.id).status is CommitmentStatus.DECIDED:
            commitments.wait(database, now, commitment.id, again, why)

    def give_up(database: Database, now: datetime, why: str) -> None:
        if commitments.get(database, commitment.id).status is CommitmentStatus.DECIDED:
            commitments.dead(database, now, commitment.id, why)

    return Item(f"commitment:{commitment.id}", put_off=put_off, give_up=give_up)
