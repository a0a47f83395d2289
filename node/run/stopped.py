"""Jobs that are not run: their version was withdrawn, or a stop rule has suspended their rule for the scanner.

They end with the node's own report, *not analysed*, since silence would look like a negative: those that were queued or
running when a version was withdrawn (`node.ledger.recalled_results` puts the latter back), and those that come later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from node.ledger import recalls, suspensions
from node.ledger.database import Ledger
from node.ledger.job import Job
from node.ledger.plugin_names import key_of
from node.ledger.recalls import Recall
from node.ledger.suspensions import Suspension
from node.run.catalogue import SitePlugin
from node.run.settle import Settler


@dataclass
class StoppedJobs:
    """Knows what must not be run; used by the run stage alone, which begins a look with `begin_look`."""

    ledger: Ledger
    settler: Settler
    _recalls: Mapping[tuple[str, str], Recall] = field(default_factory=dict)
    _suspensions: Mapping[tuple[str, str], Suspension] = field(default_factory=dict)

    def begin_look(self) -> None:
        """Ask the ledger again."""
        database = self.ledger.database
        self._recalls = {(each.plugin, each.version): each for each in recalls.in_force(database)}
        self._suspensions = {(each.rule, each.scanner): each for each in suspensions.in_force(database)}

    def see_to(self, job: Job, plugin: SitePlugin) -> bool:
        """Whether it does not run; then it has ended as not analysed."""
        identity = plugin.manifest.identity
        recall = self._recalls.get((key_of(plugin.name), identity.version))
        if recall is not None:
            self.settler.not_analysed(job, recall.not_analysed, asdict(identity))
            return True
        if not self._suspensions:
            return False
        found = self._suspensions.get((job.rule, suspensions.scanner_of(self.ledger.database, job)))
        if found is None or key_of(plugin.name) != found.plugin:
            return False
        self.settler.not_analysed(job, f"not analysed: suspended. {found.sentence}", asdict(identity))
        return True
