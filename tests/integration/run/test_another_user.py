"""Plugins that are another user than the node: what they cannot do, and what the node can still do with their files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from node.config.models import PluginUse
from node.ledger.job import Job, JobOutcome
from node.run.leftovers import WARM
from node.run.sandbox import Isolation
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.integration.run.test_confinement import PRIVILEGES, TRIES
from tests.support import other_users
from tests.support.other_users import ROOT, UID
from tests.support.sites.job_site import Site
from tests.support.wait import until

Start = Callable[..., RunStage]
Settle = Callable[..., Job]


@pytest.fixture
def apart() -> Isolation:
    return other_users.apart()


def test_fault_103_finding_x9_as_another_user_a_plugin_may_do_nothing_of_what_root_may(
    site: Site, start: Start, settle: Settle, apart: Isolation
) -> None:
    """Each of these is denied, one after the other in one job."""
    known = {
        "data": str(site.data_folder.data),
        "config": "/etc/shadow",
        "other": str(ROOT),
        "port": 9,
        "pid": os.getpid(),
    }
    lines = [(name, text.format(**known)) for name, text in {**TRIES, **PRIVILEGES}.items()]
    body = f"""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    for name, line in {lines!r}:
        try:
            exec(line, globals() | dict(OUT=OUT, libc=libc, ctypes=ctypes))
        except (OSError, StopIteration) as error:
            print("denied:", name)
        else:
            print("allowed:", name)
    """
    site.python_plugin("tries", body)
    receipts = site.receive(1)
    site.complete()
    log = site.log(settle(start(apart), site.job("tries", receipts)))
    assert "allowed:" not in log
    assert log.count("denied:") == len(lines), log


LEAVES = """
import tempfile
def hide(folder):
    folder.mkdir()
    (folder / "file").write_text("x")
    os.chmod(folder / "file", 0)
    os.chmod(folder, 0)
hide(OUT / "hidden")
hide(study.scratch / "hidden")
Path(tempfile.mkdtemp(), "file").write_text("x")
open("/dev/stdout", "w").write("user %d %s\\n" % (os.getuid(), os.getgroups()))
Path("/tmp/mine").write_text("x")
print("groups", os.getgroups(), "at work", flush=True)
while not (study.scratch / "go").exists():
    time.sleep(0.01)
"""


def test_a_plugin_of_another_user_leaves_nothing_that_the_node_cannot_remove(
    site: Site, start: Start, settle: Settle, apart: Isolation
) -> None:
    """It owns what it writes into, its guard is the node's user, its result is kept, its folder is gone."""
    site.python_plugin("leaves", LEAVES)
    receipts = site.receive(1)
    site.complete()
    job, run = site.job("leaves", receipts), start(apart)

    def at_work() -> Path | None:
        run.run_once()
        logs = (site.data_folder.work / WARM).glob("*/log.txt")
        return next((each.with_name("job") for each in logs if "at work" in each.read_text()), None)

    folder = until(at_work, what="the plugin to be at work")
    assert folder is not None
    workers = {each.pid: each for each in psutil.process_iter() if _uid(each) == UID}
    (guard,) = [each for each in psutil.Process().children() if "node.run.guard" in each.cmdline()]
    inside = [each for each in guard.children(recursive=True) if each.pid in workers]
    assert len(inside) == 1
    assert _uid(guard) == os.geteuid()
    assert (folder / "out").stat().st_uid == UID
    assert (folder / "in").stat().st_uid == os.geteuid()
    (folder / "scratch" / "go").touch()
    job = settle(run, job)
    assert job.outcome is JobOutcome.NO_FINDINGS, site.log(job)
    assert f"user {UID} []" in site.log(job)
    assert not (site.data_folder.work / job.id).exists()


def test_a_worker_of_another_user_does_one_job_after_the_other(
    site: Site, start: Start, settle: Settle, apart: Isolation, workers: WarmWorkers
) -> None:
    """Each job's files are its own while it runs, and the node's between two jobs; images of the last job are gone."""
    site.python_plugin("keeps", KEEPS)
    receipts = site.receive(1)
    site.complete()
    run = start(apart)
    for number in range(3):
        job = settle(run, site.job("keeps", receipts, rule=f"rule {number}"))
        assert job.outcome is JobOutcome.NO_FINDINGS, site.log(job)
        assert f"job {number} of {UID}, sees ['in', 'out', 'request.json', 'scratch'], scratch []" in site.log(job)
        (worker,) = workers.waiting
        inside = list((site.data_folder.work / WARM / worker.name).rglob("*"))
        assert {each.stat().st_uid for each in inside} == {os.geteuid()}
        assert {each.name for each in inside} == {"guard.log", "job", "out", "scratch"}


KEEPS = """
import builtins
builtins.done = getattr(builtins, "done", -1) + 1
seen, left = sorted(os.listdir(study.scratch.parent)), os.listdir(study.scratch)
print(f"job {builtins.done} of {os.getuid()}, sees {seen}, scratch {left}", flush=True)
(study.scratch / "mine").mkdir(mode=0)
(OUT / "mine").write_text("x")
(OUT / "mine").chmod(0)
"""


def _uid(process: psutil.Process) -> int | None:
    try:
        return int(process.uids().real)
    except psutil.NoSuchProcess:
        return None


def test_a_plugin_whose_folder_its_user_may_not_read_is_a_problem(site: Site, apart: Isolation) -> None:
    """Found when the configuration is checked, with the command that mends it."""
    site.python_plugin("closed")
    folder = site.uses["closed"].folder
    assert folder is not None
    folder.chmod(0o700)
    assert f"chmod -R o+rX {folder}" in site.catalogue(apart).problems["closed"]
    folder.chmod(0o755)
    (site.data_folder.work / "plugins.zip").touch(mode=0o600)  # by an older version: a start writes it again
    assert "closed" not in site.catalogue(apart).problems
    site.uses["closed"] = PluginUse(folder=folder, isolation="required")
    assert not site.catalogue(apart).find("closed").isolation.refusal


WITHOUT_ROOT = """
printf 'pacsnode:x:64100:64100::/:/bin/sh\\npacsnode-plugin:x:64101:64101::/:/bin/sh\\n' >>/etc/passwd
printf 'pacsnode:x:64100:\\npacsnode-plugin:x:64101:\\n' >>/etc/group
echo pacsnode:64101:1 | tee -a /etc/subuid >>/etc/subgid
mkdir "$0/python"
mount --bind PREFIX "$0/python"
mount -t tmpfs -o mode=755 none TOP
mkdir -p PREFIX
mount --move "$0/python" PREFIX
chown 64100:64100 "$0/work"
mount --bind "$0/work" /mnt
set -- setpriv --reuid 64100 --regid 64100 --clear-groups --inh-caps=-all -- "$@"
"""
"""The interpreter may lie in root's home: there it is all that is left, and readable."""
PROGRAM = """
import json, os, shutil, socket, sys, threading
from dataclasses import replace
from pathlib import Path
from node.run import nested, process, sandbox
from node.run.executor import AttemptLimits, ProcessWatch
from node.run.workers import WarmWorkers
from plugins.privileges import Endpoint, Privileges
os.umask(0o077)
found = sandbox.isolation()
folder = Path(sys.argv[1], "job", "1")
for name in ("in", "out", "scratch"):
    (folder / name).mkdir(parents=True, mode=0o700)
(folder / "request.json").write_text("{}")
script = '''
id -u; cat ../request.json; mkdir -m 700 kept; touch kept/file; chmod 000 kept
echo x >../out/file; chmod 000 ../out/file; mkdir -m 700 ../out/deep; touch ../out/deep/file; chmod 000 ../out/deep
'''
def run(isolation, command):
    line = process.CommandLine(command, {}, [Path(sys.base_prefix), Path(sys.prefix)])
    watch = ProcessWatch(threading.Event(), lambda _: None, WarmWorkers(folder))
    place = process.JobPlace(folder, folder, folder.parent)
    return process.run(line, place, AttemptLimits(60, 2**28), watch, isolation)
ended = run(found, ["/bin/sh", "-c", script])
said = (folder / "log.txt").read_text()
nested.remove(folder)
print(json.dumps([str(found), found.apart, ended.ending, ended.code, said, ended.detail, folder.exists()]))

service = socket.create_server(("127.0.0.1", 0))
granted = Privileges(network=(Endpoint("localhost", service.getsockname()[1]),))
call = f"import socket; socket.create_connection(('localhost', {granted.network[0].port})).close()"
for name in ("out", "scratch"):
    (folder / name).mkdir(parents=True, mode=0o700)
same = replace(sandbox.probe(shutil.which("bwrap")), privileges=granted)
ended = run(same, [sys.executable, "-I", "-c", call])
service.settimeout(0)
service.accept()
print(json.dumps([str(same), same.apart, ended.ending, ended.code]))
"""


def _shown_to_others(checkout: Path, scratch: Path) -> str:
    """A script that leaves of a closed folder above the checkout the checkout alone, for all to read."""
    closed = next((each for each in reversed(checkout.parents) if each.stat().st_mode & 0o005 != 0o005), None)
    if closed is None:
        return ""
    if scratch.is_relative_to(closed):
        pytest.skip(f"both the checkout and the folder of the test are in {closed}, which is closed to others")
    return f"""
mkdir "$0/checkout"
mount --bind {checkout} "$0/checkout"
mount -t tmpfs -o mode=755 none {closed}
mkdir -p {checkout}
mount --move "$0/checkout" {checkout}
"""


def test_a_node_without_root_runs_plugins_as_another_user(tmp_path: Path) -> None:
    """By newuidmap and /etc/subuid: the plugin is pacsnode-plugin, and the node removes what it left.

    As the node's own user, too: there the way to a granted service leads by the sandbox's user namespace.
    """
    if shutil.which("newuidmap") is None:
        pytest.skip("newuidmap is not installed (package uidmap)")
    other_users.apart()
    prefix = other_users.interpreter_prefix()
    top = Path(*prefix.parts[:2])
    if ROOT.is_relative_to(top):
        pytest.skip(f"the checkout is in {top}, of which only the interpreter is shown to others")
    script = _shown_to_others(ROOT, tmp_path) + WITHOUT_ROOT.replace("PREFIX", str(prefix)).replace("TOP", str(top))
    (tmp_path / "work").mkdir()
    command = other_users.in_private_etc(tmp_path, script, sys.executable, "-c", textwrap.dedent(PROGRAM), "/mnt")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    other, same = map(json.loads, done.stdout.splitlines())
    text, is_apart, ending, code, said, detail, left = other
    assert (is_apart, text.startswith("isolated: plugins run as pacsnode-plugin")) == (True, True), text
    assert (ending, code) == ("exited", 0), (said, detail)
    assert said == "1\n{}"  # its number in its namespace, which is not 0: the node's own is
    assert not left
    assert (same[1:], same[0].startswith("isolated: plugins have no network")) == ([False, "exited", 0], True)
