"""The chain of files: what is changed, removed, inserted, moved or cut is found, and where; a crash is no tampering."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.audit import checking, trail
from node.audit.checking import TrailCheck
from node.audit.trail import EntryDigest, EntryKind, TrailWriter, entries_after, files_in, lines_of, parse

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
Lines = list[bytes]


def written(folder: Path, entries: int = 9, days: int = 3) -> EntryDigest:
    """A trail of this many entries in files of three days."""
    last = EntryDigest()
    for day in range(days):
        writer = TrailWriter(folder, NOW + day * DAY)
        each = entries // days
        last = writer.append(
            NOW + day * DAY, [{"kind": EntryKind.MESSAGE, "event": day * each + number} for number in range(each)]
        )
    return last


def found_in(folder: Path, *known: EntryDigest) -> list[str]:
    return [str(each) for each in checking.check(folder, known).breaks]


def resealed(line: bytes, **changes: object) -> bytes:
    """The line of whoever knows how a digest is made."""
    text = json.dumps({**json.loads(line.partition(b" ")[2]), **changes}, separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest().encode() + b" " + text


def test_what_was_written_is_right_and_follows_over_all_files(tmp_path: Path) -> None:
    """Three days are three files, named by number and day; private to the node; each line is a digest and its JSON."""
    last = written(tmp_path / "audit")
    check = checking.check(tmp_path / "audit", [last])
    assert (check.breaks, check.notes, check.entries, check.last) == ([], [], 9, last)
    names = [each.name for each in files_in(tmp_path / "audit")]
    assert names == [f"00000000000{n}-2026-03-0{day}.jsonl" for n, day in ((1, 1), (4, 2), (7, 3))]
    assert {each.stat().st_mode & 0o777 for each in files_in(tmp_path / "audit")} == {0o600}
    digest, _, text = files_in(tmp_path / "audit")[2].read_bytes().splitlines()[2].partition(b" ")
    assert hashlib.sha256(text).hexdigest() == digest.decode() == last.digest
    assert [each.number for each in entries_after(tmp_path / "audit", 5)] == [6, 7, 8, 9]


def _change(lines: Lines) -> None:
    lines[1] = lines[1].replace(b'"event":4', b'"event":5')


def _replace(lines: Lines) -> None:
    lines[1] = resealed(lines[1], event=99)


def _remove(lines: Lines) -> None:
    del lines[1]


def _insert(lines: Lines) -> None:
    lines.insert(2, resealed(lines[1], event=99))


def _insert_text(lines: Lines) -> None:
    lines.insert(1, b"nothing of the kind")


def _swap(lines: Lines) -> None:
    lines[1], lines[2] = lines[2], lines[1]


SECOND = "000000000004-2026-03-02.jsonl"
THIRD = "000000000007-2026-03-03.jsonl"


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (_change, [f"{SECOND}, line 2: entry 5 was changed"]),
        (_replace, [f"{SECOND}, line 3: entry 6 does not follow 5: one of them was replaced"]),
        (_remove, [f"{SECOND}, line 2: entries 5 to 5 were removed"]),
        (_insert, [f"{SECOND}, line 3: entry 5 after 5: inserted, or moved from its place"]),
        (_insert_text, [f"{SECOND}, line 2: the line was changed, or is none of the trail's"]),
        (_swap, [f"{SECOND}, line 2: entries 5 to 5 were removed", f"{SECOND}, line 3: entry 5 after 6"]),
    ],
)
def test_tampering_in_the_middle_is_found_where_it_is(
    tmp_path: Path, tamper: Callable[[Lines], None], said: Sequence[str]
) -> None:
    """Also by somebody who makes the digest of the line again."""
    written(tmp_path)
    lines = (tmp_path / SECOND).read_bytes().splitlines()
    tamper(lines)
    (tmp_path / SECOND).write_bytes(b"\n".join(lines) + b"\n")
    found = found_in(tmp_path)
    assert all(one.startswith(other) for one, other in zip(found, said, strict=False))
    assert len(found) >= len(said)


def test_a_file_that_is_gone_is_named_by_what_was_in_it(tmp_path: Path) -> None:
    """In the middle, at the beginning; at the end it takes the ledger to know."""
    last = written(tmp_path)
    contents = {each: each.read_bytes() for each in files_in(tmp_path)}
    (tmp_path / SECOND).unlink()
    assert found_in(tmp_path) == [f"{THIRD}, line 1: a file is missing: entries 4 to 6 were removed"]
    (tmp_path / SECOND).write_bytes(contents[tmp_path / SECOND])
    files_in(tmp_path)[0].unlink()
    assert found_in(tmp_path) == [f"{SECOND}: the files with the entries before 4 are missing"]
    for path, content in contents.items():
        path.write_bytes(content)
    (tmp_path / THIRD).unlink()
    assert found_in(tmp_path) == []
    assert found_in(tmp_path, last) == [f"{SECOND}: the end was cut off: entries 7 to 9 are missing"]


def test_an_end_that_was_cut_or_made_again_shows_against_what_is_known_elsewhere(tmp_path: Path) -> None:
    """The ledger knows the last entry; a checkpoint knows an earlier one of a trail that was made again as a whole."""
    last = written(tmp_path)
    third = tmp_path / THIRD
    lines = third.read_bytes().splitlines()
    third.write_bytes(b"\n".join([*lines[:2], b""]))
    assert found_in(tmp_path, last) == [f"{THIRD}: the end was cut off: entries 9 to 9 are missing"]
    third.write_bytes(b"\n".join([*lines[:2], resealed(lines[2], event=0), b""]))
    assert found_in(tmp_path) == []
    assert found_in(tmp_path, last) == [
        f"{THIRD}, line 3: entry 9 is not the one that was written: the trail was made again"
    ]
    checkpoint = next(entries_after(tmp_path, 4))
    other = tmp_path / "other"
    TrailWriter(other, NOW).append(NOW, [{"kind": "message", "event": n} for n in range(20)])
    (found,) = found_in(other, EntryDigest(checkpoint.number, checkpoint.digest))
    assert "entry 5 is not the one that was written" in found


@pytest.mark.parametrize("kept", [1, 70, 200])
def test_a_line_that_a_crash_left_unfinished_stays_and_is_explained(tmp_path: Path, kept: int) -> None:
    """Nothing is deleted of an append-only file; the next entry says what it is, and the chain goes on."""
    written(tmp_path, 3, 1)
    (file,) = files_in(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:2]) + lines[2][:kept])
    TrailWriter(tmp_path, NOW).append(NOW, [{"kind": "message", "event": 2}])
    check = checking.check(tmp_path)
    assert check.breaks == []
    assert check.notes == [f"{file.name}, line 3: a line that a crash left unfinished"]
    assert [each.fields.get("event", each.fields["kind"]) for each in entries_after(tmp_path, 0)] == [0, 1, "torn", 2]


def test_a_last_line_without_its_end_is_whole(tmp_path: Path) -> None:
    """Only the end of line was lost: the entry counts."""
    last = written(tmp_path, 3, 1)
    (file,) = files_in(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    writer = TrailWriter(tmp_path, NOW)
    assert writer.last == last
    writer.append(NOW, [{"kind": "message", "event": 3}])
    assert (found_in(tmp_path), checking.check(tmp_path).entries) == ([], 4)


def test_a_new_file_that_has_only_a_torn_line(tmp_path: Path) -> None:
    """The crash came with the first entry of a day, or at the very beginning."""
    written(tmp_path)
    (tmp_path / "000000000010-2026-03-04.jsonl").write_bytes(b"0123")
    TrailWriter(tmp_path, NOW + 3 * DAY).append(NOW + 3 * DAY, [{"kind": "message", "event": 9}])
    assert (found_in(tmp_path), checking.check(tmp_path).entries) == ([], 11)
    new = tmp_path / "new"
    new.mkdir()
    (new / "000000000001-2026-03-04.jsonl").write_bytes(b"0123")
    TrailWriter(new, NOW).append(NOW, [{"kind": "message", "event": 9}])
    assert found_in(new) == []


def test_old_files_go_and_the_chain_says_which(tmp_path: Path) -> None:
    """The rest can be verified; somebody who removes one more is found out."""
    written(tmp_path)
    writer = TrailWriter(tmp_path, NOW + 3 * DAY)
    writer.remove(NOW + 3 * DAY, files_in(tmp_path)[:1])
    check: TrailCheck = checking.check(tmp_path, [writer.last])
    assert (check.breaks, check.notes) == ([], ["entries before 4 were removed as audit.keep says"])
    (tmp_path / SECOND).unlink()
    assert found_in(tmp_path) == [f"{THIRD}: the files with the entries before 7 are missing"]


def test_what_the_ledger_knows_and_is_not_there_is_said_for_good(tmp_path: Path) -> None:
    """Numbers are never given twice; the trail goes on, and stays marked."""
    last = written(tmp_path)
    (tmp_path / THIRD).unlink()
    writer = TrailWriter(tmp_path, NOW + 3 * DAY)
    writer.missing(NOW + 3 * DAY, last)
    assert writer.last.number == 10
    assert [each.partition(": ")[2] for each in found_in(tmp_path, writer.last)] == [
        "entries 7 to 9 were not there when the node started"
    ]


def test_a_file_grows_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a busy day there are several."""
    monkeypatch.setattr(trail, "_LARGEST", 300)
    for _ in range(3):
        TrailWriter(tmp_path, NOW).append(NOW, [{"kind": "message", "event": 1}, {"kind": "message", "event": 2}])
    assert len(files_in(tmp_path)) == 3
    assert found_in(tmp_path) == []


def test_a_line_says_what_the_documentation_says(tmp_path: Path) -> None:
    """A digest of 64 digits, a blank, and JSON that begins with the number and the digest of the entry before."""
    written(tmp_path, 3, 1)
    (file,) = files_in(tmp_path)
    entries = [parse(line) for _, line in lines_of(file)]
    assert [each.previous for each in entries if each][1:] == [each.digest for each in entries if each][:-1]
    assert list(json.loads(entries[0].text))[:4] == ["n", "previous", "at", "kind"]
