"""Control groups: where they can be made, and what is written into them. A folder plays the kernel's file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.run import cgroups, leftovers
from node.run.cgroups import AttemptGroup

DELEGATED = "system.slice/pacsnode.service"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file system of groups, of which one is delegated; a group that is made has its files at once."""
    mounted = tmp_path / "cgroup"
    (mounted / DELEGATED / "node").mkdir(parents=True)
    for folder in (mounted / DELEGATED, mounted / DELEGATED / "node"):
        (folder / "cgroup.procs").touch()
        (folder / "cgroup.subtree_control").touch()
    made, removed = Path.mkdir, Path.rmdir

    def mkdir(path: Path, exist_ok: bool = False) -> None:
        made(path, exist_ok=exist_ok)
        if path.name.startswith("pacsnode-"):
            for name in ("cgroup.kill", "cgroup.procs", "memory.max", "memory.oom.group", "pids.max"):
                (path / name).touch()

    def rmdir(path: Path) -> None:
        for each in path.iterdir():
            each.unlink()
        removed(path)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "rmdir", rmdir)
    (tmp_path / "mounts").write_text(f"tmpfs /tmp tmpfs rw 0 0\ncgroup2 {mounted} cgroup2 rw 0 0\n")
    (tmp_path / "own").write_text(f"4:memory:/x\n0::/{DELEGATED}/node\n")
    return mounted


def _base(kernel: Path) -> Path | None:
    return cgroups.base(kernel.parent / "mounts", kernel.parent / "own")


def test_groups_are_made_in_what_was_delegated(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With DelegateSubgroup= that is the group above the node's own, and its controllers are asked for."""
    delegated = kernel / DELEGATED
    monkeypatch.setattr("os.getxattr", lambda path, _: b"1" if Path(path) == delegated else b"0")
    assert _base(kernel) == delegated
    assert (delegated / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_else_they_are_made_in_the_nodes_own(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is touched above it."""
    monkeypatch.setattr("os.getxattr", lambda *_: b"0")
    assert _base(kernel) == kernel / DELEGATED / "node"
    assert (kernel / DELEGATED / "cgroup.subtree_control").read_text() == ""


def test_where_none_can_be_made_there_are_none(tmp_path: Path, kernel: Path) -> None:
    """No such file system, no entry of one's own, a folder that is not there."""
    (tmp_path / "own").write_text("4:memory:/x\n")
    assert _base(kernel) is None
    (tmp_path / "own").write_text("0::/gone\n")
    assert _base(kernel) is None
    (tmp_path / "mounts").write_text("")
    assert _base(kernel) is None


def test_limits_lie_a_little_beyond_what_the_guard_watches(kernel: Path) -> None:
    """So that it sees and names what went beyond its own; where no controller is delegated there are none."""
    group = AttemptGroup(kernel / "pacsnode-1-job-1")
    group.make(2**30, 100)
    assert int((group.folder / "memory.max").read_text()) == 2**30 + 64 * 2**20
    assert (group.folder / "memory.oom.group").read_text() == "1"
    assert (group.folder / "pids.max").read_text() == "164"
    bare = AttemptGroup(kernel / "bare")
    bare.make(2**30, 100)
    assert list(bare.folder.iterdir()) == []
    assert (bare.peak_bytes(), bare.was_out_of_memory(), bare.processes()) == (0, False, [])


def test_what_the_kernel_counted_is_read(kernel: Path) -> None:
    """Its peak, and whether it ended something for its memory; then the group is killed and removed."""
    group = AttemptGroup(kernel / "pacsnode-1-job-1")
    group.make(2**30, 100)
    (group.folder / "memory.peak").write_text("12345\n")
    (group.folder / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n")
    assert (group.peak_bytes(), group.was_out_of_memory()) == (12345, True)
    assert group.end()
    assert not group.folder.exists()


def test_groups_of_a_trial_are_swept_at_the_next_start(
    kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node was killed while examples ran: what their small node made is found in `work/`, and nobody else's is."""
    monkeypatch.setattr(cgroups, "_base", lambda: kernel)
    work = tmp_path / "work"
    nested, others = work / "pacsnode-x1" / "data" / "work", tmp_path / "others" / "data" / "work"
    for folder in (work / "job" / "1", nested / "job" / "1", nested / ".warm" / "worker", others / "job" / "1"):
        os.makedirs(folder)
        group = cgroups.of(folder)
        assert group is not None
        group.make(2**30, 100)
    assert leftovers.end_all(work)
    assert [group.folder for each in (work, nested, nested / ".warm") for group in cgroups.left(each)] == []
    assert len(cgroups.left(others)) == 1


def test_a_node_leaves_the_group_that_was_delegated(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For one below it, so that the controllers can be handed down; one that was not delegated it does not leave."""
    delegated = kernel / DELEGATED
    own = kernel.parent / "own"
    own.write_text(f"0::/{DELEGATED}\n")
    monkeypatch.setattr("os.getxattr", lambda *_: b"0")
    cgroups.make_room(own, kernel.parent / "mounts")
    assert (delegated / "node" / "cgroup.procs").read_text() == ""
    monkeypatch.setattr("os.getxattr", lambda path, _: b"1" if Path(path) == delegated else b"0")
    cgroups.make_room(own, kernel.parent / "mounts")
    assert (delegated / "node" / "cgroup.procs").read_text() == str(os.getpid())
