"""The secret of the pseudonyms: made once, whole, and for the node alone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from node.store import keys
from node.store.keys import UnusableKeyError


def file_of(data: Path) -> Path:
    return data / "keys" / "pseudonyms.key"


def test_it_is_made_once_however_many_ask(tmp_path: Path) -> None:
    """Threads that all find none get the same, and nothing else is left."""
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(keys.secret(tmp_path))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(found), len(set(found)), len(found[0])) == (8, 1, 32)
    assert [each.name for each in file_of(tmp_path).parent.iterdir()] == ["pseudonyms.key"]


@pytest.mark.parametrize("at", [0, 31, 32, 63])
def test_one_flipped_bit_is_found(tmp_path: Path, at: int) -> None:
    """In the secret or in its checksum: every patient would get another pseudonym, and nobody would see it."""
    keys.secret(tmp_path)
    content = bytearray(file_of(tmp_path).read_bytes())
    content[at] ^= 4
    file_of(tmp_path).write_bytes(content)
    with pytest.raises(UnusableKeyError, match="not what was written, by its checksum: restore it from the backup"):
        keys.secret(tmp_path)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 63, 65])
def test_a_part_of_one_is_none(tmp_path: Path, size: int) -> None:
    """Half a file after a restore."""
    file_of(tmp_path).parent.mkdir()
    file_of(tmp_path).write_bytes(b"x" * size)
    with pytest.raises(UnusableKeyError, match=f"has {size} bytes and is no key"):
        keys.secret(tmp_path)


def test_one_of_an_earlier_release_stays_and_gets_a_checksum(tmp_path: Path) -> None:
    """32 bytes alone: the same secret from then on."""
    file_of(tmp_path).parent.mkdir()
    file_of(tmp_path).write_bytes(b"k" * 32)
    assert keys.secret(tmp_path) == keys.secret(tmp_path) == b"k" * 32
    assert len(file_of(tmp_path).read_bytes()) == 64


def test_others_lose_their_rights(tmp_path: Path) -> None:
    """A backup that was restored with the modes of somebody else."""
    keys.secret(tmp_path)
    file_of(tmp_path).chmod(0o644)
    file_of(tmp_path).parent.chmod(0o755)
    keys.secret(tmp_path)
    modes = [each.stat().st_mode & 0o777 for each in (file_of(tmp_path), file_of(tmp_path).parent)]
    assert modes == [0o600, 0o700]


def test_its_name_does_not_give_it_away(tmp_path: Path) -> None:
    """Another secret has another name; the name is not its checksum, which lies beside it."""
    one, other = keys.name_of(b"a" * 32), keys.name_of(b"b" * 32)
    assert (len(one), one != other) == (16, True)
