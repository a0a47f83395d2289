"""The parts of storage commitment: who decides, who tells each AE that may ask, who asks each archive.

Each has a thread of its own, so that a requester or an archive that hangs delays nobody else. Who may ask can change
while the node runs: parts that are new are handed out to be given a thread, and those that nobody needs are idle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from node.clock import Clock
from node.commit.asking import Asking
from node.commit.reporting import Reporting
from node.commit.stage import Commit
from node.config.models import Configuration, StorageCommitment
from node.dimse.scu import Peer
from node.journal import Journal
from node.ledger.database import Ledger
from node.signal import Signal
from node.spool import Spool

Part = tuple[str, Callable[[], float]]
"""Name and `run_once` of what needs a thread."""


class Commitments:
    """Everything that storage commitment takes in the node process."""

    def __init__(
        self, ledger: Ledger, spool: Spool, clock: Clock, signal: Signal, configuration: Configuration
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._signal = signal
        self._journal = Journal(spool.data)
        self._commit = Commit(ledger, spool, self._journal, clock, signal, configuration)
        self._reporting: dict[str, Reporting] = {}
        self._asking: dict[str, Asking] = {}

    @property
    def decides(self) -> Part:
        """What takes and decides requests."""
        return "commit", self._commit.run_once

    def use(self, configuration: Configuration, archives: Mapping[str, Peer]) -> list[Part]:
        """Go by this configuration from now on; the parts that it adds, each of which needs a thread.

        `archives`: how each destination is called.
        """
        self._commit.configuration = configuration
        asking = requesters_of(configuration)
        new: list[Part] = []
        for requester in asking.keys() - self._reporting.keys():
            self._reporting[requester] = Reporting(requester, self._ledger, self._clock)
            new.append((f"report-{requester}", self._reporting[requester].run_once))
        for requester, reporting in self._reporting.items():
            reporting.use(asking.get(requester))
        for name in {each.commit_through for each in asking.values()} & configuration.destinations.keys():
            if name is not None and name not in self._asking:
                destination, peer = configuration.destinations[name], archives[name]
                self._asking[name] = Asking(
                    name, destination, peer, self._ledger, self._spool, self._journal, self._clock, self._signal
                )
                new.append((f"commitment-of-{name}", self._asking[name].run_once))
        for name, archive in self._asking.items():
            archive.use({requester: each for requester, each in asking.items() if each.commit_through == name})
        return new


def requesters_of(configuration: Configuration) -> dict[str, StorageCommitment]:
    """The AE titles that may ask for storage commitment, and what is said of each."""
    return {
        each.ae_title: each.storage_commitment
        for each in configuration.modalities.values()
        if each.storage_commitment is not None
    }
