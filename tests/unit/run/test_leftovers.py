"""What a plugin leaves in its folder: measured while it runs, removed afterwards, whatever it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.run import nested
from node.run.disk_use import DiskUse, Room

DEPTH = 1500
"""Deeper than Python recurses, more levels than descriptors, and longer as a path than the system takes."""


def _deep(folder: Path) -> None:
    """Folders in folders, each with a file, a link and a folder without permissions."""
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(DEPTH):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.symlink("/etc", "link", dir_fd=here)
        os.mkdir("none", 0, dir_fd=here)
        os.mkdir("deeper", dir_fd=here)
        below = os.open("deeper", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_finding_x1_folders_nested_beyond_all_bounds_are_removed(tmp_path: Path) -> None:
    """Nothing of them is left, and what a link in them names is still there."""
    folder = tmp_path / "job"
    folder.mkdir()
    _deep(folder)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (folder / "elsewhere").symlink_to(kept)
    nested.remove(folder)
    assert not folder.exists()
    assert (kept / "file").exists()


def _too_much(folder: Path) -> str | None:
    return DiskUse([str(folder)], Room(2**30, 100_000, 0)).too_much([])


def test_finding_x1_a_folder_whose_size_cannot_be_told_counts_as_too_much(tmp_path: Path) -> None:
    """What lies too deep to be measured would fill the disk unseen: the plugin is ended, in words."""
    out = tmp_path / "out"
    out.mkdir()
    assert _too_much(out) is None
    _deep(out)
    assert "a folder of out/ cannot be measured" in str(_too_much(out))
    nested.remove(out)


def test_finding_x1_what_is_removed_stays_below_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is moved out while it is emptied ends the removal: its new parent is none of ours."""
    folder, outside = tmp_path / "job", tmp_path / "outside"
    (folder / "a" / "b").mkdir(parents=True)
    outside.mkdir()
    empty = nested._empty

    def moved(here: int) -> list[str]:
        found = empty(here)
        if (folder / "a").exists() and not found:
            (folder / "a" / "b").rename(outside / "b")
        return found

    monkeypatch.setattr(nested, "_empty", moved)
    with pytest.raises(OSError, match="was moved"):
        nested.remove(folder)
    assert (outside / "b").is_dir()
