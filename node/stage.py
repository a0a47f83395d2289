"""What every stage is given, and what it can be asked to do.

class Count(NodeStage):
    def __init__(self, node: Node) -> None:
        self._node = node

    def run_once(self) -> float:
        log.info("count.studies", number=len(studies.receiving(self._node.ledger.database)))
        return 60.0
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from node.clock import Clock
from node.config.models import Configuration
from node.ledger.database import Ledger
from node.store.layout import DataFolder
from node.wake import Wakes


@dataclass(frozen=True, slots=True)
class Node:
    """The four things of one running node that its stages share."""

    ledger: Ledger
    store: DataFolder
    clock: Clock
    wakes: Wakes


class NodeStage(Protocol):
    """One task of the node. `node.app.workers` gives it a thread; a test calls `run_once` itself."""

    @abstractmethod
    def run_once(self) -> float:
        """Do what is ready; seconds until it wants to be called again, if nobody wakes it before."""

    def use(self, configuration: Configuration) -> None:  # noqa: ARG002 - not every stage uses one
        """Work by this configuration, at the latest from the next `run_once` on. Called by another thread.

        A configuration that it cannot use changes nothing: it raises before it keeps any of it. A stage that uses no
        configuration leaves this as it is.
        """
        return

    def close(self) -> None:
        """End its processes. Called once it is not run again, or to end a run under way; more than once, too."""
        return
