"""What names begin with only grows: whatever the clock does, over restarts, crashes and several receivers."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.store import numbers
from node.store.layout import DataFolder
from node.store.numbers import FILE, number_of

JUMPING = Path(__file__).parents[2] / "support" / "faults" / "jumping"
HOUR = 3600
_RECEIVER = """
import sys
from pathlib import Path
from node.store.layout import DataFolder
data_folder = DataFolder(Path(sys.argv[1]))
for _ in sys.stdin:
    print(data_folder.new_receipt(), flush=True)
"""


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """To so long after 1970."""
    monkeypatch.setattr("time.time_ns", lambda: int(seconds * 10**9))
    monkeypatch.setattr("time.time", lambda: seconds)


def reboot(monkeypatch: pytest.MonkeyPatch, folder: Path, up: float = 5.0) -> None:
    """From now on in another boot, `up` seconds after it."""
    boot = folder / f"boot-{secrets.token_hex(4)}"
    boot.write_text(boot.name)
    monkeypatch.setattr(numbers, "_BOOT", boot)
    monkeypatch.setattr(numbers, "_since_boot", lambda: int(up * 10**9))


@pytest.mark.parametrize("jump", [-24 * HOUR, -1, 0, HOUR, 3650 * 24 * HOUR])
def test_finding_m1_receipts_sort_by_arrival_whatever_the_clock_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    """Set in either direction while the node runs, while it is down, and back again."""
    data_folder, given = DataFolder(tmp_path), []
    for now in (1.8e9, 1.8e9 + jump, 1.8e9 + 1):
        set_clock(monkeypatch, now)
        given += [data_folder.new_receipt(), data_folder.new_receipt(), DataFolder(tmp_path).new_receipt()]
    assert given == sorted(given)
    assert len(set(given)) == len(given)
    assert {len(each) for each in given} == {32}


@pytest.mark.parametrize("where", ["incoming", "incoming part", "store", "store of the first release", "journal"])
def test_finding_m1_after_a_reboot_numbers_go_on_above_every_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The clock was an hour ahead and starts in 1970: what is on the disk decides, wherever it is."""
    set_clock(monkeypatch, 1.8e9 + HOUR)
    data_folder = DataFolder(tmp_path)
    last = data_folder.new_receipt()
    path = {
        "incoming": data_folder.arrived(last),
        "incoming part": data_folder.part(last),
        "store": data_folder.stored(last),
        "store of the first release": data_folder.store / last[-2:] / f"{last}.dcm",
        "journal": tmp_path / "journal" / f"{last}.json",
    }[where]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    (data_folder.store / "ffffff").mkdir()  # a folder whose files are gone says nothing
    (data_folder.incoming / "ffffffffffffffffffffffffffffffff.dcm").touch()  # nor does what is no name of ours
    reboot(monkeypatch, tmp_path)
    set_clock(monkeypatch, 0)
    assert DataFolder(tmp_path).new_receipt() > last


@pytest.mark.parametrize("left", [None, "", "{", '{"boot": 1}', "[]"])
def test_finding_m1_a_file_that_a_crash_or_a_person_damaged_is_chosen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str | None
) -> None:
    """Not there, empty, cut off, of another form: by the names in the folder, and kept for the next process."""
    set_clock(monkeypatch, 1.8e9)
    data_folder = DataFolder(tmp_path)
    last = data_folder.new_receipt()
    data_folder.arrived(last).touch()
    (tmp_path / FILE).unlink()
    if left is not None:
        (tmp_path / FILE).write_text(left)
    set_clock(monkeypatch, 1.7e9)
    given = [last, DataFolder(tmp_path).new_receipt(), DataFolder(tmp_path).new_receipt()]
    assert given == sorted(given)


def test_finding_m1_the_ledger_counts_where_files_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receipt whose file was removed since is still a row, and still came before."""
    set_clock(monkeypatch, 1.8e9)
    last = DataFolder(tmp_path).new_receipt()
    reboot(monkeypatch, tmp_path)
    set_clock(monkeypatch, 1.7e9)
    numbers.establish(tmp_path, above=number_of(last))
    assert DataFolder(tmp_path).new_receipt() > last


@contextmanager
def receiver(data: Path, folder: Path, ahead: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that makes a receipt for each line; its wall clock is `ahead` seconds ahead."""
    jump = folder / f"jump-{secrets.token_hex(4)}"
    jump.write_text(str(ahead))
    path = os.pathsep.join((str(JUMPING), str(Path(__file__).parents[3])))
    environment = os.environ | {"PYTHONPATH": path, "PACSNODE_TEST_JUMP": str(jump)}
    command = [sys.executable, "-c", _RECEIVER, str(data)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def next_of(process: subprocess.Popen[str]) -> str:
    """The receipt that it makes now."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_finding_m1_two_receivers_and_one_that_was_killed_keep_one_order(tmp_path: Path) -> None:
    """Turn by turn, one an hour ahead of the other; kill -9 of both, and a third goes on above them."""
    data, given = tmp_path / "data", []
    with receiver(data, tmp_path, 0) as first, receiver(data, tmp_path, HOUR) as second:
        for _ in range(3):
            given += [next_of(first), next_of(second)]
        for process in (first, second):
            process.send_signal(signal.SIGKILL)
    with receiver(data, tmp_path, -HOUR) as third:
        given += [next_of(third)]
    assert given == sorted(given)
    assert all(given)
