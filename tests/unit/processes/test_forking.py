"""What children are forked from: it has their imports, leaves nothing behind, and its death is one more failed try."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from node.app.preloaded import MODULES
from node.processes.pool import ChildDiedError, ChildPool
from tests.support.wait import until

PLENTY = 2**31
# A node in small: a pool with a child that works, until it is killed.
OWNER = """
import sys, time
from node.processes.pool import ChildPool, preload
if __name__ == "__main__":
    preload([])
    pool = ChildPool(1)
    pool.call(print, "", deadline=60, memory=2**30)
    print(pool._idle[0].process.pid, flush=True)
    pool.call(time.sleep, 1000, deadline=1000, memory=2**30)
"""


@pytest.fixture
def pool() -> Iterator[ChildPool]:
    made = ChildPool(1)
    yield made
    made.close()


def _modules(_: int) -> tuple[int, set[str]]:
    return os.getppid(), set(sys.modules)


def test_a_child_has_the_imports_of_the_node_s_children(pool: ChildPool) -> None:
    """Each module that is named exists, and is there before the child's first call."""
    assert [each for each in MODULES if importlib.util.find_spec(each) is None] == []
    _, loaded = pool.call(_modules, 0, deadline=60, memory=PLENTY)
    assert set(MODULES) <= loaded
    assert "node.app.process" not in loaded, "children know nothing of the node that they serve"


def test_what_they_are_forked_from_is_killed(pool: ChildPool) -> None:
    """Its children die with it, the call says so, and the next one is answered by children of another one."""
    source, _ = pool.call(_modules, 0, deadline=60, memory=PLENTY)
    child = pool._idle[0].process
    psutil.Process(source).kill()
    until(lambda: not child.is_alive(), what="the child to die with it")
    assert pool.call(_modules, 0, deadline=60, memory=PLENTY)[0] != source


def test_killed_while_a_child_works(pool: ChildPool) -> None:
    """The call fails as after the death of its child: another try is worth it."""
    source, _ = pool.call(_modules, 0, deadline=60, memory=PLENTY)
    with pytest.raises(ChildDiedError):
        pool.call(_kill, source, deadline=600, memory=PLENTY)
    assert pool.call(_modules, 0, deadline=60, memory=PLENTY)[0] != source


def _kill(process: int) -> None:
    os.kill(process, 9)
    os.read(os.pipe()[0], 1)  # until it is killed itself


def test_nothing_is_left_of_a_node_that_was_killed(tmp_path: Path) -> None:
    """Its child, what that was forked from, and the folder of the socket between them."""
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    temporary = Path(tempfile.mkdtemp(prefix="pacsnode-"))  # a socket's path has to be short
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as owner:
        assert owner.stdout is not None
        child = psutil.Process(int(owner.stdout.readline()))
        source = child.parent()
        assert source is not None
        assert list(temporary.glob("pymp-*"))
        owner.kill()
    until(lambda: not child.is_running() and not source.is_running(), what="both to end")
    until(lambda: not list(temporary.glob("*")), what="the folder to go")
    temporary.rmdir()
