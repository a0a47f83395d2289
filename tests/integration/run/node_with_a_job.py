"""Plays a node that dies at work: `python -m tests.integration.run.node_with_a_job FOLDER isolated|bare`.

Runs what is queued in the site's ledger until it is killed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from node.clock import SystemClock
from node.config.models import PluginUse
from node.run.sandbox import isolation
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import NOT_ISOLATED, Site


def main() -> None:
    site = Site(Path(sys.argv[1]), SystemClock())
    for folder in (site.folder / "plugins").iterdir():
        site.uses[folder.name] = PluginUse(folder=folder)
    catalogue = site.catalogue(isolation() if sys.argv[2] == "isolated" else NOT_ISOLATED)
    run = RunStage(site.node, with_slots(1), lambda _: catalogue, WarmWorkers(site.data_folder.work))
    while True:
        run.run_once()
        time.sleep(0.05)


if __name__ == "__main__":
    main()
