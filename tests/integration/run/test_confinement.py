"""What a plugin can reach: with bubblewrap only its own job; in any case nothing of the node's environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.config.models import PluginUse
from node.ledger.job import Job, JobOutcome
from node.run import sandbox
from node.run.sandbox import Isolation
from node.run.stage import Run
from tests.support.job_site import NOT_ISOLATED, Site

Start = Callable[..., Run]
Settle = Callable[..., Job]


@pytest.fixture
def free_listener() -> Iterator[int]:
    """A port on which somebody on this machine listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def isolated() -> Isolation:
    found = sandbox.isolation()
    if found.sandbox is None:
        pytest.skip(f"bubblewrap: {found.reason}")
    return found


TRIES = {
    "writes into the ledger": "open({data!r} + '/ledger.db', 'r+b')",
    "writes beside its own folder": "(OUT.parent / 'evil').write_text('x')",
    "writes into its inputs": "(OUT.parent / 'in' / 'evil').write_text('x')",
    "writes into its own code": "(Path(__file__).parent / 'evil').write_text('x')",
    "writes into the system": "open('/usr/evil', 'w')",
    "writes into the root": "open('/evil', 'w')",
    "reads the ledger": "open({data!r} + '/ledger.db', 'rb')",
    "reads the store": "next(Path({data!r}, 'store').rglob('*.dcm')).read_bytes()",
    "reads the configuration": "open({config!r}).read()",
    "reads another plugin": "open({other!r}).read()",
    "connects to this machine": "socket.create_connection(('127.0.0.1', {port}), 5)",
    "connects to another machine": "socket.create_connection(('192.0.2.1', 80), 5)",
    "signals the node": "os.kill({pid}, 0)",
}


@pytest.mark.parametrize("case", TRIES)
def test_fault_74_what_a_confined_plugin_may_not_do_fails(
    site: Site, start: Start, settle: Settle, isolated: Isolation, case: str, free_listener: int
) -> None:
    """Each of these raises inside the plugin, which says so; nothing outside has changed."""
    config = site.folder / "config.yaml"
    config.write_text("password: secret")
    site.python_plugin("other")
    attempt = TRIES[case].format(
        data=str(site.spool.data),
        config=str(config),
        other=str(site.folder / "plugins" / "other" / "the_plugin.py"),
        port=free_listener,
        pid=os.getpid(),
    )
    body = f"""
    try:
        {attempt}
    except (OSError, StopIteration) as error:
        print("denied:", type(error).__name__, error)
    else:
        print("allowed")
    """
    site.python_plugin("tries", body)
    receipts = site.receive(1)
    site.complete()
    job = settle(start(isolated), site.job("tries", receipts))
    assert job.outcome is JobOutcome.NO_FINDINGS
    assert "denied:" in site.log(job), site.log(job)
    assert "allowed" not in site.log(job)
    assert list(site.folder.rglob("evil")) == []


def test_a_confined_plugin_sees_no_process_but_its_own(
    site: Site, start: Start, settle: Settle, isolated: Isolation
) -> None:
    """Its process namespace begins with its own init."""
    site.python_plugin("looks", "print('pids', sorted(int(n) for n in os.listdir('/proc') if n.isdigit()))")
    receipts = site.receive(1)
    site.complete()
    job = settle(start(isolated), site.job("looks", receipts))
    assert "pids [1, 2]" in site.log(job)


def test_a_plugin_gets_none_of_the_nodes_environment(
    site: Site, start: Start, settle: Settle, confinement: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets in the node's environment stay there; HOME and TMPDIR are the job's scratch."""
    monkeypatch.setenv("PACS_PASSWORD", "secret")
    site.python_plugin("env", "print(json.dumps(dict(os.environ)))")
    receipts = site.receive(1)
    site.complete()
    job = settle(start(confinement), site.job("env", receipts))
    log = site.log(job)
    assert "secret" not in log
    assert f'"HOME": "{site.spool.work}/{job.id}/1/scratch"' in log
    assert f'"TMPDIR": "{site.spool.work}/{job.id}/1/scratch"' in log


def test_a_plugin_imports_the_contract_and_nothing_of_the_node(
    site: Site, start: Start, settle: Settle, confinement: Isolation
) -> None:
    """`plugins` comes from the zip; the working folder is not on the path."""
    site.python_plugin("imports", "import plugins.contract as c; print('from', c.__file__, '' in sys.path)")
    receipts = site.receive(1)
    site.complete()
    job = settle(start(confinement), site.job("imports", receipts))
    assert "plugins.zip/plugins/contract.py False" in site.log(job)


def test_fault_74_a_data_folder_inside_of_something_readable_is_covered(
    site: Site, start: Start, settle: Settle, isolated: Isolation
) -> None:
    """The data folder lies in the plugin's own folder, of all places: its code is read, the ledger is not."""
    site.python_plugin("tries", "print('ledger', Path('LEDGER').exists(), 'siblings', os.listdir('DATA'))")
    for path in (site.folder / "plugins" / "tries").iterdir():
        text = path.read_text().replace("LEDGER", str(site.ledger.path)).replace("DATA", str(site.spool.data))
        (site.folder / path.name).write_text(text)
    site.uses["tries"] = PluginUse(folder=site.folder)
    receipts = site.receive(1)
    site.complete()
    job = settle(start(isolated), site.job("tries", receipts))
    assert "ledger False siblings ['work']" in site.log(job)


def test_status_says_whether_plugins_are_isolated() -> None:
    """One line for `check` and `status`, with the reason where they are not."""
    assert str(NOT_ISOLATED).startswith("not isolated: ")
    assert NOT_ISOLATED.reason in str(NOT_ISOLATED)
    assert str(Isolation(sandbox.Sandbox("bwrap", ()), "")).startswith("isolated: ")


def _pretended(folder: Path, script: str) -> str:
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_an_older_bubblewrap_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    """One that does not know --disable-userns still isolates."""
    program = _pretended(tmp_path, 'case "$*" in *--disable-userns*) echo unknown option >&2; exit 1;; esac')
    found = sandbox.probe(program)
    assert found.sandbox is not None
    assert "--unshare-all" in found.sandbox.options
    assert "--disable-userns" not in found.sandbox.options


def test_a_bubblewrap_that_does_not_work_is_said_to(tmp_path: Path) -> None:
    """As in a container that forbids user namespaces: the reason is bubblewrap's own message."""
    found = sandbox.probe(_pretended(tmp_path, "echo 'bwrap: No permissions to create new namespace' >&2; exit 1"))
    assert found.sandbox is None
    assert "No permissions to create new namespace" in str(found)
