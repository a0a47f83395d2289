"""A node that is killed while a destination is down: what it knew of that is in its rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from node.ledger import outages
from node.ledger.delivery import DeliveryStatus
from tests.unit.deliver.test_load import LoadRoom

PROGRAM = """
import sys, time
from datetime import timedelta
from pathlib import Path
from tests.unit.deliver.test_load import LoadRoom

room = LoadRoom(Path(sys.argv[1]))
room.forward("1.2.3", 5)
room.result("1.2.3", "1.2.3.9")
room.archive.is_down = True
room.pass_time(timedelta(hours=1))
print("down", flush=True)
time.sleep(600)
"""


def test_fault_61_killed_with_the_breaker_open(tmp_path: Path) -> None:
    """kill -9 after an hour: the next node does not try before its time, and then sends everything once, in order."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "node")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert child.stdout is not None
        assert any(line == b"down\n" for line in child.stdout)
    finally:
        child.kill()
        child.wait()
    room = LoadRoom(tmp_path / "node")
    room.clock.pass_(hours=1)
    outage = outages.get(room.ledger.database, "pacs")
    assert outage is not None
    assert outage.tries > 5
    assert outage.not_before > room.clock.now()
    room.outbox.run_once()
    assert room.archive.tries == 0
    room.clock.pass_(seconds=(outage.not_before - room.clock.now()).total_seconds())
    room.run()
    assert room.archive.stored == [*(f"1.2.3.1.{number}" for number in range(1, 6)), "1.2.3.9"]
    assert {each.status for each in room.rows()} == {DeliveryStatus.DELIVERED}
