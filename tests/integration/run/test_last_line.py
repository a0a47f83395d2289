"""A plugin that has to be ended: the admin sees the line of its author's code at which it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.ledger.attempts import AttemptFailureKind
from node.ledger.job import Job
from node.run.sandbox import Isolation
from node.run.stage import RunStage
from tests.support import other_users
from tests.support.sites.job_site import Site

Start = Callable[..., RunStage]
Settle = Callable[..., Job]
BODIES = {
    "in its own code": ("while True: pass  # here", {"deadline": "1s"}, AttemptFailureKind.DEADLINE),
    "in native code": ("time.sleep(1000)  # here", {"deadline": "1s"}, AttemptFailureKind.DEADLINE),
    "with a handler of its own": (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)  # here",
        {"deadline": "1s"},
        AttemptFailureKind.DEADLINE,
    ),
    "with its error output elsewhere": (
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 2); time.sleep(1000)  # here",
        {"deadline": "1s"},
        AttemptFailureKind.DEADLINE,
    ),
    "beside a process of its own": (
        "import multiprocessing as m; m.Process(target=time.sleep, args=(1000,)).start(); time.sleep(1000)  # here",
        {"deadline": "2s"},
        AttemptFailureKind.DEADLINE,
    ),
    "for its memory": (
        "x = bytearray(300 * 2**20); time.sleep(1000)  # here",
        {"memory": "200MiB"},
        AttemptFailureKind.MEMORY,
    ),
}


def line_of(site: Site) -> int:
    text = (site.folder / "plugins" / "stuck" / "the_plugin.py").read_text().splitlines()
    return next(number for number, line in enumerate(text, start=1) if line.endswith("# here"))


@pytest.mark.parametrize("name", BODIES)
def test_the_line_at_which_a_plugin_was_is_in_the_error(site: Site, start: Start, settle: Settle, name: str) -> None:
    """Wherever it hangs, also within native code, and where it has redirected its streams."""
    body, use, kind = BODIES[name]
    site.python_plugin("stuck", body, attempts=1, **use)
    receipts = site.receive()
    site.complete()
    job = settle(start(), site.job("stuck", receipts))
    assert f"; it was at the_plugin.py line {line_of(site)}, in analyse, after " in str(job.error)
    assert str(job.error).startswith(kind)
    assert "Stack (most recent call first)" in site.log(job)


@pytest.mark.parametrize("of_user", ["same", "apart"])
def test_so_it_is_in_a_sandbox(site: Site, start: Start, settle: Settle, of_user: str) -> None:
    """In a process namespace of its own, as the node's user and as another one."""
    confinement: Isolation = other_users.same_user() if of_user == "same" else other_users.apart()
    site.python_plugin("stuck", "time.sleep(1000)  # here", attempts=1, deadline="2s")
    receipts = site.receive()
    site.complete()
    job = settle(start(confinement), site.job("stuck", receipts))
    assert f"; it was at the_plugin.py line {line_of(site)}, in analyse" in str(job.error)


def test_a_plugin_that_cannot_say_where_it_is_is_ended_as_ever(site: Site, start: Start, settle: Settle) -> None:
    """It took the signal for itself: no line, and no failure of another kind."""
    body = "from plugins import stack_signal; import signal; signal.signal(stack_signal.SIGNAL, signal.SIG_DFL)"
    site.python_plugin("stuck", f"{body}; time.sleep(1000)", attempts=1, deadline="1s")
    receipts = site.receive()
    site.complete()
    job = settle(start(), site.job("stuck", receipts))
    assert str(job.error).startswith("deadline: not ended after 1 s, after ")


def test_a_program_is_not_sent_a_signal_that_would_end_it_otherwise(site: Site, start: Start, settle: Settle) -> None:
    """What is no Python plugin is ended for its deadline, and nothing else is said of it."""
    site.command_plugin("stuck", "#!/bin/sh\nsleep 1000\n", attempts=1, deadline="1s")
    receipts = site.receive()
    site.complete()
    job = settle(start(), site.job("stuck", receipts))
    assert str(job.error).startswith("deadline: not ended after 1 s, after ")


def test_a_plugin_that_is_not_loaded_in_time_says_where(site: Site, start: Start, settle: Settle) -> None:
    """An import that hangs."""
    site.python_plugin("stuck", "pass", attempts=1)
    folder = site.folder / "plugins" / "stuck"
    code = folder / "the_plugin.py"
    code.write_text(f"{code.read_text()}\ntime.sleep(1000)  # here\n")
    manifest = (folder / "plugin.toml").read_text()
    (folder / "plugin.toml").write_text(manifest.replace("entry =", "loading_seconds = 2\nentry ="))
    receipts = site.receive()
    site.complete()
    job = settle(start(), site.job("stuck", receipts))
    assert f"; it was at the_plugin.py line {line_of(site)}, in <module>" in str(job.error)
