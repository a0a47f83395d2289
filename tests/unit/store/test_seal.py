"""The seal: holds for a file that is there as it was received, and for no other."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.receive.pool import Slot
from node.store import seal
from node.store.layout import DataFolder
from node.store.seal import cut_to_length

RECEIPT = "0123456789abcdef" * 2
CONTENT = bytes(128) + b"DICM" + bytes(range(256)) * 40


def sealed(path: Path, content: bytes = CONTENT, rest: bytes = b"") -> Path:
    """A file as a receiver seals it, in a slot that is `rest` longer."""
    head = seal.encode(RECEIPT, len(content), zlib.crc32(content[128:]))
    path.write_bytes(head + content[len(head) :] + rest)
    return path


def holds(path: Path) -> bool:
    found = seal.read(path)
    return found is not None and seal.holds(path, found)


@pytest.mark.parametrize("rest", [b"", bytes(5000), b"what was there before"])
def test_a_whole_file_holds_its_seal_whatever_lies_behind_it(tmp_path: Path, rest: bytes) -> None:
    """The receipt and length it was sealed with are read back; the rest of the slot counts for nothing."""
    path = sealed(tmp_path / "file", rest=rest)
    found = seal.read(path)
    assert found is not None
    assert (found.receipt, found.length) == (RECEIPT, len(CONTENT))
    assert seal.holds(path, found)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("seal") / "file", rest=bytes(512))


@given(at=st.integers(0, len(CONTENT) // 512 - 1), blank=st.booleans())
def test_a_file_of_which_a_sector_is_missing_does_not(place: Path, at: int, blank: bool) -> None:
    """Zeros where 512 bytes should be, or what an older object left there, and be it the sector of the seal."""
    whole = place.read_bytes()
    torn = place.with_name("torn")
    torn.write_bytes(whole[: at * 512] + (bytes(512) if blank else b"\x55" * 512) + whole[(at + 1) * 512 :])
    assert holds(place)
    assert not holds(torn)


def test_a_file_that_is_cut_or_gone_or_never_sealed_does_not(tmp_path: Path) -> None:
    """Shorter than it says by a byte; no seal at all; half a seal; no file."""
    cut = sealed(tmp_path / "cut")
    cut.write_bytes(cut.read_bytes()[:-1])
    assert not holds(cut)
    for content in (CONTENT, b"", seal.encode(RECEIPT, 10, 0)[:30]):
        (tmp_path / "other").write_bytes(content)
        assert seal.read(tmp_path / "other") is None
    assert seal.read(tmp_path / "none") is None
    assert not seal.holds(tmp_path / "none", seal.Seal(RECEIPT, 200, 0))


def test_a_name_that_is_no_receipts_is_no_seal(tmp_path: Path) -> None:
    """What a seal says becomes a file's name: it must not lead out of the folder."""
    head = seal.encode("../../../../../etc/cron.d/x00000", 200, 0)
    (tmp_path / "file").write_bytes(head + bytes(200))
    assert seal.read(tmp_path / "file") is None


def test_what_a_dead_receiver_sealed_gets_its_name_and_what_it_did_not_goes(tmp_path: Path) -> None:
    """At the start: sealed under the slot's name or the part's: kept. Not sealed: removed. Cut by the indexer."""
    data_folder = DataFolder(tmp_path / "data")
    for suffix in ("slot", "part"):
        path = data_folder.incoming / f"999999999-1.{suffix}"
        sealed(path, rest=bytes(3000))
        (data_folder.incoming / f"999999999-2.{suffix}").write_bytes(CONTENT)
        assert data_folder.sweep_parts() == (suffix == "part")
        assert [each.name for each in data_folder.incoming.iterdir()] == [f"{RECEIPT}.dcm"]
        arrived = data_folder.arrived(RECEIPT)
        cut_to_length(arrived)
        assert arrived.read_bytes()[128:] == CONTENT[128:]
        arrived.unlink()


def test_a_slot_seals_what_was_written_into_it(tmp_path: Path) -> None:
    """In pieces of any size; the seal is the first that says so, and names the receipt by the file's name."""
    path = tmp_path / f"{RECEIPT}.part"
    path.write_bytes(bytes(20000))
    slot = Slot(path)
    for start in range(0, len(CONTENT), 77):
        slot.write(CONTENT[start : start + 77])
    assert seal.read(path) is None
    slot.sync()
    slot.close()
    assert holds(path)
    assert path.stat().st_size == 20000
    cut_to_length(path)
    assert path.read_bytes()[128:] == CONTENT[128:]
