"""The guard's log: bounded, with both ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.run.plugin_log import PluginLog


@given(st.lists(st.binary(max_size=50), max_size=40))
def test_the_log_keeps_beginning_and_end(pieces: list[bytes]) -> None:
    """All of it where it fits; else its first bytes, how many are left out, and its last ones."""
    import tempfile

    limit, whole = 100, b"".join(pieces)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.txt"
        log = PluginLog(path, limit)
        for piece in pieces:
            log.write(piece)
        log.close()
        kept = path.read_bytes()
    assert kept.startswith(whole[:50])
    assert kept.endswith(whole[-50:])
    assert len(kept) <= limit + 50 + 60
    if len(whole) <= limit:
        assert kept == whole


def test_the_log_is_never_written_through_a_link(tmp_path: Path) -> None:
    """A link where the log should be is refused: its target is not ours."""
    (tmp_path / "log.txt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        PluginLog(tmp_path / "log.txt", 100)
    assert not (tmp_path / "elsewhere").exists()
