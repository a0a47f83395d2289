"""Workers that are kept between jobs: no job shows in the next one, and what goes wrong ends one job only."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.run.executor import ExitKind
from node.run.sandbox import Isolation
from plugins import exchange
from tests.support.sites.warm_room import WarmRoom


@pytest.fixture
def room(tmp_path: Path, confinement: Isolation) -> Iterator[WarmRoom]:
    made = WarmRoom(tmp_path, confinement)
    yield made
    made.workers.close()
    assert made.processes() == [], "a worker outlived its node"


LOOKS = """
said["made"] = made
said["in"] = letter
said["files"] = sorted(str(path.relative_to(out.parent)) for path in out.parent.rglob("*"))
said["cwd"] = os.getcwd() == str(study.scratch)
said["umask"] = os.umask(0o022); os.umask(said["umask"])
said["environment"] = {name: os.environ[name] for name in os.environ if "job" not in os.environ[name]}
said["locale"] = locale.setlocale(locale.LC_ALL)
said["signal"] = str(signal.getsignal(signal.SIGUSR1)), signal.setitimer(signal.ITIMER_REAL, 0)
said["numpy"] = np.geterr(), np.get_printoptions()["precision"], np.random.get_state()[1][0].item()
said["random"] = random.random()
said["stdout"] = sys.stdout is sys.__stdout__
said["path"] = sys.path[0] == "/elsewhere"
said["filters"] = len(warnings.filters)
"""
CHANGES = """
print("printed by", letter)
print("held back by", letter, end="")
(out / letter).write_text(letter)
(study.scratch / "left").write_text(letter)
(study.scratch / "deep" / "er").mkdir(parents=True)
(study.scratch / "deep").chmod(0)
os.chdir("/")
os.umask(0o000)
os.environ["LETTER"] = letter
os.environ.pop("LANG", None)
locale.setlocale(locale.LC_ALL, "C")
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 600)
np.seterr(all="ignore"); np.set_printoptions(precision=1); np.random.seed(5)
random.seed(7)
sys.path.insert(0, "/elsewhere")
warnings.simplefilter("ignore")
sys.stdout = open(os.devnull, "w")
os.close(0); os.close(1); os.close(2)
"""


def test_warm_and_cold_give_the_same_bytes(room: WarmRoom) -> None:
    """A, B, A in one worker, and each in a process of its own: no byte differs, whatever the jobs changed."""
    room.plugin(LOOKS + CHANGES, init="random.seed(1); np.random.seed(2)")
    warm = [room.job(letter) for letter in "ABA"]
    cold = [room.job(letter, worker_jobs=1) for letter in "ABA"]
    assert [each.ended.ending for each in warm] == [ExitKind.EXITED] * 3, warm[-1].log
    errors = [(each.folder / "out" / "worker.log") for each in warm]
    assert len({each.worker for each in warm}) == 1, [each.read_text() for each in errors if each.exists()]
    assert len({each.worker for each in cold}) == 3
    assert [(each.result, each.said) for each in warm] == [(each.result, each.said) for each in cold]
    assert warm[1].said["files"] == ["in", "in/1.dcm", "out", "request.json", "scratch"]
    assert [each.log for each in warm] == [f"printed by {letter}\nheld back by {letter}" for letter in "ABA"]
    assert [sorted(os.listdir(each.folder / "out")) for each in warm] == [
        [letter, "result.json", "said.json"] for letter in "ABA"
    ]


LEAVES = {
    "a thread": ("threading.Thread(target=time.sleep, args=(600,), daemon=True).start()", "1 thread"),
    "a process": ("subprocess.Popen(['sleep', '600'])", "1 process"),
    "a daemon": ("subprocess.run(['setsid', '-f', 'sleep', '600'])", "1 process"),
    "an open image": ("self.image = open(image)", "a file of the job open"),
    "a mapped image": ("self.map = np.memmap(image, mode='r')", "a file of the job open"),
    "an open file without a name": ("self.file = tempfile.TemporaryFile()", "a file of the job open"),
    "a lowered limit": (
        "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (500, 500))",
        "could not be put back: limits",
    ),
    "an exception": ("raise ValueError(letter)", "its job failed"),
    "an exit": ("sys.exit(0)", "its job failed"),
}


@pytest.mark.parametrize(("body", "note"), LEAVES.values(), ids=LEAVES)
def test_a_worker_that_keeps_something_of_its_job_ends_with_it(
    tmp_path: Path, isolated: Isolation, body: str, note: str
) -> None:
    """The job counts, its log says why its process ended, nothing of it is left, and the next job begins afresh."""
    room = WarmRoom(tmp_path, isolated)
    room.plugin(f'said["made"] = made\nif letter == "A":\n    {body}')
    first, second = room.job("A"), room.job("B")
    assert (first.ended.ending, first.ended.code) == (ExitKind.EXITED, 0)
    assert "the process is not kept for another job: " in first.log
    assert note in first.log
    assert second.worker != first.worker
    assert second.said == {"made": 1}
    room.workers.close()
    assert room.processes() == []


ANSWERS = """
    import socket
    for number in range(3, 50):
        try:
            socket.socket(fileno=number).send(b'{"code": 0, "leaves": ""}')
        except OSError:
            continue
    time.sleep(600)
"""
ENDS = {
    "os._exit": ("os._exit(0)", {}, (ExitKind.EXITED, 0)),
    "a signal": ("os.kill(os.getpid(), signal.SIGSEGV)", {}, (ExitKind.SIGNALLED, signal.SIGSEGV)),
    "the deadline": ("time.sleep(600)", {"deadline_seconds": 1}, (ExitKind.DEADLINE, None)),
    "memory": ("held = np.ones(2**26); time.sleep(600)", {}, (ExitKind.MEMORY, None)),
    "disk": ("(out / 'big').write_bytes(bytes(2**25))", {"disk_bytes": 2**24}, (ExitKind.DISK, None)),
    "printing": ("print('x' * 2**21)", {"printed_bytes": 2**20}, (ExitKind.OUTPUT, None)),
    "an answer before its time": (ANSWERS, {}, (ExitKind.EXITED, 0)),
    "all descriptors closed": ("os.closerange(0, 1000)", {}, (ExitKind.EXITED, 0)),
}


@pytest.mark.parametrize(("body", "limits", "ending"), ENDS.values(), ids=ENDS)
def test_the_limits_of_a_job_hold_in_a_worker_that_did_others(
    tmp_path: Path, isolated: Isolation, body: str, limits: dict[str, Any], ending: tuple[ExitKind, int | None]
) -> None:
    """The second job of a worker ends as it would in a process of its own; the third has another worker."""
    room = WarmRoom(tmp_path, isolated)
    room.plugin(f'said["made"] = made\nif letter == "B":\n    {body}')
    jobs = [room.job(letter, **limits) for letter in "ABC"]
    assert jobs[0].worker == jobs[1].worker != jobs[2].worker
    assert (jobs[1].ended.ending, jobs[1].ended.code) == ending, jobs[1]
    assert [jobs[0].said, jobs[2].said] == [{"made": 1}, {"made": 1}]
    room.workers.close()
    assert room.processes() == []


def test_a_job_is_cancelled_within_a_moment_and_its_worker_with_it(tmp_path: Path, isolated: Isolation) -> None:
    """A person cancels the second job of a worker while it runs."""
    room, cancel = WarmRoom(tmp_path, isolated), threading.Event()
    room.plugin('if letter == "B":\n    time.sleep(600)')
    first, second = room.job("A"), room.job("B", cancel.set, cancel)
    assert first.worker == second.worker
    assert second.ended.ending is ExitKind.CANCELLED
    assert room.workers.waiting == []
    assert room.processes() == []


def test_loading_has_a_limit_of_its_own(tmp_path: Path, isolated: Isolation) -> None:
    """What loading takes is no part of the deadline; what takes longer than `loading_seconds` is ended."""
    room = WarmRoom(tmp_path, isolated)
    room.plugin('said["made"] = made', init="time.sleep(2)")
    assert room.job(deadline_seconds=1).ended.ending is ExitKind.EXITED
    late = room.job(loading_seconds=1, deadline_seconds=60)
    assert late.ended.ending is ExitKind.LOADING
    assert "its code was not loaded after 1 s" in late.ended.detail
    room.workers.close()


CANNOT_LOAD = {
    "a syntax error": ("pass", "def oops(:", "SyntaxError, the_plugin.py line 7"),
    "an import": (
        "pass",
        "import not_there_at_all",
        "ModuleNotFoundError: no module named 'not_there_at_all', the_plugin.py line 7",
    ),
    "the constructor": ("raise KeyError(made)", "", "KeyError, the_plugin.py line 12"),
}


@pytest.mark.parametrize(("init", "begin", "said"), CANNOT_LOAD.values(), ids=CANNOT_LOAD)
def test_a_plugin_that_cannot_be_loaded_fails_with_its_line(
    tmp_path: Path, isolated: Isolation, init: str, begin: str, said: str
) -> None:
    """The line of the author's code, and no worker that is kept."""
    room = WarmRoom(tmp_path, isolated)
    room.plugin("pass", init, begin)
    job = room.job()
    assert (job.ended.ending, json.loads(job.result)["status"]) == (ExitKind.EXITED, "failed")
    assert (job.folder / exchange.OUT / exchange.ERROR).read_text() == f"{said}\n"
    assert room.workers.waiting == []


def test_what_is_started_while_loading_stays_and_rests_with_the_worker(tmp_path: Path, isolated: Isolation) -> None:
    """A thread, a helper process and a file in memory that `__init__` made are no leftovers of a job."""
    room = WarmRoom(tmp_path, isolated)
    room.plugin(
        'said["alive"] = self.helper.poll() is None and self.thread.is_alive()',
        init="""
        self.helper = subprocess.Popen(["sleep", "600"])
        self.thread = threading.Thread(target=time.sleep, args=(600,), daemon=True)
        self.thread.start()
        Path("/dev/shm/weights").write_text("kept")
        """,
    )
    jobs = [room.job(letter) for letter in "AB"]
    assert jobs[0].worker == jobs[1].worker, jobs[0].log
    assert [each.said for each in jobs] == [{"alive": True}] * 2
    room.workers.close()
    assert room.processes() == []


def test_a_worker_whose_loading_wrote_into_scratch_does_one_job(tmp_path: Path, isolated: Isolation) -> None:
    """A folder for temporary files that `__init__` made would be gone in the second job."""
    room = WarmRoom(tmp_path, isolated)
    room.plugin('said["there"] = os.path.exists(self.folder)', init="self.folder = tempfile.mkdtemp()")
    jobs = [room.job(letter) for letter in "AB"]
    assert [each.said for each in jobs] == [{"there": True}] * 2
    assert "its code wrote files while it was loaded" in jobs[0].log


def test_files_in_memory_do_not_reach_the_next_job(tmp_path: Path, isolated: Isolation) -> None:
    """What a job leaves in /tmp or /dev/shm of its sandbox ends the worker."""
    room = WarmRoom(tmp_path, isolated)
    room.plugin("""
    said["left"] = sorted(each for each in os.listdir("/tmp") + os.listdir("/dev/shm") if len(each) == 1)
    (Path("/tmp" if letter == "A" else "/dev/shm") / letter).touch()
    """)
    jobs = [room.job(letter) for letter in "ABC"]
    assert [each.said for each in jobs] == [{"left": []}] * 3
    assert all("it left files in /tmp or /dev/shm" in each.log for each in jobs)
