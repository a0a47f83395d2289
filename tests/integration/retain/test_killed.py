"""A node that is killed in the midst of a purge: a real process, a real SIGKILL, and the next one goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from node.ledger import instances, purges, studies, tallies
from node.ledger.instances import InstanceStatus
from node.ledger.studies import StudyImages
from node.retain.stage import RetainStage, begin
from tests.support.sites.retained import RetainSite, configured, run
from tests.support.wait import until

STUDIES, IMAGES = 6, 60
PROGRAM = """
    import sys, time
    from pathlib import Path
    from tests.support.sites.retained import RetainSite, configured
    from node.retain.stage import RetainStage

    unlink = Path.unlink

    def slowly(path, missing_ok=False):
        time.sleep(0.003)  # so that the parent finds it at work
        unlink(path, missing_ok)

    Path.unlink = slowly
    site = RetainSite(Path(sys.argv[1]))
    site.hand.pass_(days=30)
    stage = RetainStage(site.node, configured(unmatched="1d"))
    while True:
        stage.run_once()
"""


def test_fault_55_kill_9_in_the_midst_of_a_purge_goes_on_from_purging(tmp_path: Path) -> None:
    """Nothing that is needed goes, nothing that began to go is left, and each series has one line of all its images."""
    site = RetainSite(tmp_path)
    receipts = {f"1.{number}": site.study(f"1.{number}", IMAGES) for number in range(STUDIES)}
    kept = "1.3"
    with site.ledger.transaction() as database:
        studies.hold(database, site.hand.now(), kept, "a correction", alert=False)
    site.hand.pass_(days=30)
    begin(site.node)
    interrupted = 0
    for left in (STUDIES * IMAGES - IMAGES // 2, IMAGES * 3, IMAGES * 2):
        with subprocess.Popen([sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path)]) as child:
            until(lambda left=left: len(site.stored()) <= left, what="the child to delete files")
            child.send_signal(signal.SIGKILL)
        interrupted += bool(purges.under_way(site.ledger.database))
        assert set(receipts[kept]) <= set(site.stored())
    assert interrupted, "no kill fell into a purge"
    run(RetainStage(site.node, configured(unmatched="1d")))
    database = site.ledger.database
    assert site.stored() == sorted(receipts[kept])
    assert len(instances.of_study(database, kept, list(InstanceStatus))) == IMAGES
    for uid in receipts.keys() - {kept}:
        (purge,) = purges.of_study(database, uid)
        (line,) = purges.series_of(database, purge.id)
        assert (line.instances, site.images(uid)) == (IMAGES, StudyImages.GONE)
    assert tallies.wrong(database) == []
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
