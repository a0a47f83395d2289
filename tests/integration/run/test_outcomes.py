"""What comes of a job, by what its plugin does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.ledger import attempts, events, instances
from node.ledger.attempts import AttemptFailureKind, AttemptState
from node.ledger.event_kinds import EventKind
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job, JobOutcome, JobStatus
from node.processes.pool import ChildPool
from node.run import answer, handing_on, inputs, laying_out
from node.run.executor import ExitKind
from node.run.inputs import Layer
from node.run.laying_out import Images, Report
from node.run.sandbox import Isolation
from node.run.stage import RunStage
from plugins import exchange
from plugins.contract import ResultStatus
from tests.support import history
from tests.support.sites.job_site import Site, processes_of
from tests.support.wait import until

Start = Callable[..., RunStage]
Settle = Callable[..., Job]
RAISED = "        raise ValueError('Hong^Gildong')"
"""The line of the plugin that raises, as it is in its file."""


_SANDBOX = pytest.mark.parametrize(
    "confinement",
    ["isolated", pytest.param("not isolated", marks=pytest.mark.at_night("the same in a sandbox"))],
    indirect=True,
)
"""For what the guard makes of an end, which is the same code; how processes are ended differs and is tested in both."""


def test_a_result_is_kept_and_the_job_ends(site: Site, start: Start, settle: Settle, confinement: Isolation) -> None:
    """A plugin that answers: its result is durable in results/, the ledger says so, its work folder is gone."""
    site.python_plugin("good", "print('hello from the plugin', FILES[0].read_bytes()[-10:].decode())")
    receipts = site.receive(2)
    site.complete()
    job = settle(start(confinement), site.job("good", receipts))
    assert (job.status, job.outcome, job.attempts, job.error) == (JobStatus.ENDED, JobOutcome.NO_FINDINGS, 1, None)
    assert job.result == f"results/{job.id}/plugin"
    assert site.kept(job)["summary"] == "Looked, found nothing."
    assert "hello from the plugin instance 1" in site.log(job)
    assert not (site.data_folder.work / job.id).exists()
    assert job.algorithm is not None
    assert job.algorithm["parameters"] == [["level", "5"]]
    assert site.kinds()[-3:] == ["job.started", "attempt.running", "job.ended"]


def test_the_kept_folder_can_be_read_back_by_the_exchange(site: Site, start: Start, settle: Settle) -> None:
    """request.json and out/ lie as the exchange wants them; the request tells age, sex and frames, no identifier."""
    site.python_plugin("good")
    receipts = site.receive(2)
    site.complete()
    job = settle(start(), site.job("good", receipts))
    folder = site.data_folder.results / job.id / "plugin"
    request = exchange.read_request(folder)
    assert [file.name for file in request.series[0].files] == ["s01/00001.dcm", "s01/00002.dcm"]
    assert (request.study.patient_age, request.study.patient_sex) == (45.0, "F")
    assert request.series[0].files[0].frame_of_reference_uid == "1.2.9"
    assert exchange.read_result(folder, request).status is ResultStatus.NO_FINDINGS
    assert sorted(path.name for path in folder.rglob("*")) == ["out", "request.json", "result.json"]


def test_a_command_in_another_language_is_a_plugin(
    site: Site, start: Start, settle: Settle, confinement: Isolation
) -> None:
    """A shell script that writes out/result.json answers as well as Python does."""
    site.command_plugin(
        "shell",
        """
        #!/bin/sh
        cat > "$1/out/result.json" <<END
        {"schema": 1, "status": "not_applicable", "summary": "A shell saw $(ls "$1/in/s01" | wc -l)."}
        END
        """,
    )
    receipts = site.receive(3)
    site.complete()
    job = settle(start(confinement), site.job("shell", receipts))
    assert job.outcome is JobOutcome.NOT_APPLICABLE
    assert site.kept(job)["summary"] == "A shell saw 3."


def test_not_applicable_is_an_outcome_not_a_failure(site: Site, start: Start, settle: Settle) -> None:
    """NotApplicableError ends the job at its first attempt, with the reason as its summary."""
    site.python_plugin("picky", "raise NotApplicableError('Contrast was given.')")
    receipts = site.receive()
    site.complete()
    job = settle(start(), site.job("picky", receipts))
    assert (job.outcome, job.attempts, job.error) == (JobOutcome.NOT_APPLICABLE, 1, None)
    assert site.kept(job)["summary"] == "Contrast was given."


def test_a_plugin_that_raises_fails_once_with_its_traceback_in_the_log(
    site: Site, start: Start, settle: Settle
) -> None:
    """An exception is deterministic: one attempt, a failed result without the message, the traceback for the admin."""
    site.python_plugin("raises", "raise ValueError('Hong^Gildong')")
    receipts = site.receive()
    site.complete()
    job = settle(start(), site.job("raises", receipts))
    assert (job.outcome, job.attempts) == (JobOutcome.FAILED, 1)
    assert "Hong" not in str(site.kept(job))
    assert "Hong" not in str(job.error)
    assert "ValueError: Hong^Gildong" in site.log(job)


@_SANDBOX
def test_finding_o2_the_admin_sees_the_line_and_the_log_and_the_reader_plain_words(
    site: Site, start: Start, settle: Settle, confinement: Isolation
) -> None:
    """Kind, file and line of the author's code with the job and its attempt, never in what a report is made from."""
    site.python_plugin("raises", "raise ValueError('Hong^Gildong')")
    line = (site.folder / "plugins" / "raises" / "the_plugin.py").read_text().splitlines().index(RAISED) + 1
    receipts = site.receive()
    site.complete()
    job = settle(start(confinement), site.job("raises", receipts))
    assert job.error == f"the plugin failed: ValueError, the_plugin.py line {line}"
    (attempt,) = attempts.of_job(site.ledger.database, job.id)
    assert (attempt.state, attempt.detail, job.answered_by) == (AttemptState.ANSWERED, job.error, attempt.id)
    assert attempt.log == f"results/{job.id}/log.txt"
    assert "the_plugin.py" in (site.data_folder.data / attempt.log).read_text()
    shown = site.kept(job)["summary"]
    assert shown == (
        "The analysis program stopped because of an error. Nothing can be concluded from this about the images."
    )


def test_finding_o2_a_program_in_another_language_says_where_it_failed(
    site: Site, start: Start, settle: Settle
) -> None:
    """out/error.txt is for the admin; its summary, which readers see, stays its own."""
    site.command_plugin(
        "shell",
        """
        #!/bin/sh
        echo "no weights in /opt/model" > "$1/out/error.txt"
        echo '{"schema": 1, "status": "failed", "summary": "The analysis could not be done."}' > "$1/out/result.json"
        """,
    )
    receipts = site.receive()
    site.complete()
    job = settle(start(), site.job("shell", receipts))
    assert job.error == "the plugin failed: no weights in /opt/model"
    assert site.kept(job)["summary"] == "The analysis could not be done."


def test_an_attempt_says_what_it_took_and_how_it_ended(site: Site, start: Start, settle: Settle) -> None:
    """A crash, then an answer: two rows, each with its seconds, its peak of memory and its log."""
    site.python_plugin("second", "print('at it'); (FILES[0].parents[2] / 'out').exists() and CRASH()", attempts=2)
    source = site.folder / "plugins" / "second" / "the_plugin.py"
    mark = site.folder / "crashed"
    once = f"(Path({str(mark)!r}).exists() or (Path({str(mark)!r}).touch(), os.abort()))"
    source.write_text(source.read_text().replace("CRASH()", once))
    receipts = site.receive()
    site.complete()
    run, job = start(), site.job("second", receipts)
    settle(run, job)
    site.clock.pass_(seconds=31)  # type: ignore[attr-defined]  # a HandClock
    ended = settle(run, job, attempts=2)
    rows = attempts.of_job(site.ledger.database, job.id)
    told = [(row.number, row.state, row.failure, row.counted, row.kind) for row in rows]
    assert told == [
        (1, AttemptState.FAILED, AttemptFailureKind.CRASH, True, "python"),
        (2, AttemptState.ANSWERED, None, True, "python"),
    ]
    assert all(row.seconds and row.peak_memory and row.log == f"results/{job.id}/log.txt" for row in rows)
    assert str(rows[0].detail).startswith("ended by signal SIGABRT, after ")
    assert [f"--- attempt {row.number}, ended" in site.log(job) for row in rows] == [True, True]
    assert (ended.answered_by, ended.attempts) == (rows[1].id, 2)
    begun = [event.detail for event in history.of_kind(site.ledger.database, EventKind.ATTEMPT_RUNNING)]
    assert begun == [{"attempt": 1}, {"attempt": 2}]


FAILURES = {
    "segfault": ("ctypes.string_at(0)", {}, "SIGSEGV", "stopped unexpectedly"),
    "asks for it": ("raise RetryableError('busy')", {}, "asks to be tried again", "asked to be tried again later"),
    "hang": ("time.sleep(600)", {"deadline": "1s"}, "deadline", "did not finish within 1 second "),
    "out of memory": (
        "keep = [bytearray(10**7) for _ in range(200)]; time.sleep(600)",
        {"memory": "300MiB"},
        "memory",
        "more memory than the 0.293 GiB",
    ),
}


@_SANDBOX
@pytest.mark.parametrize("case", FAILURES)
def test_faults_71_72_a_failing_run_is_retried_then_fails_in_plain_words(
    site: Site, start: Start, settle: Settle, confinement: Isolation, case: str
) -> None:
    """Crash, hang, memory, or it asks: tried again after a pause, as often as allowed, then a result says it failed."""
    body, limits, error, words = FAILURES[case]
    site.python_plugin("bad", body, attempts=2, **limits)
    receipts = site.receive()
    site.complete()
    run = start(confinement)
    job = settle(run, site.job("bad", receipts))
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 1)
    assert error in str(job.error)
    run.run_once()
    assert site.get(job).attempts == 1, "tried again before its pause was over"
    site.clock.pass_(seconds=31)  # type: ignore[attr-defined]  # a HandClock
    ended = settle(run, job, attempts=2)
    assert (ended.status, ended.outcome, ended.attempts) == (JobStatus.ENDED, JobOutcome.FAILED, 2)
    kept = site.kept(ended)
    assert kept["status"] == "failed"
    assert words in kept["summary"]
    assert "tried 2 times" in kept["summary"]
    assert "Nothing can be concluded" in kept["summary"]
    assert "Traceback" not in kept["summary"]
    assert site.log(ended).count("--- attempt") == 2


PROGRAM = "#!/bin/sh\n[ -e ../out ] || exit 1\nexit {code}\n"


@pytest.mark.parametrize(("code", "again"), [(1, False), (7, False), (75, True), (137, True)])
def test_fault_71_an_error_is_not_tried_again_unless_the_program_asks(
    site: Site, start: Start, settle: Settle, code: int, again: bool
) -> None:
    """An error status ends the job at once; 75 (try later) and what a shell says of a killed child do not."""
    site.command_plugin("errs", PROGRAM.format(code=code), attempts=2)
    receipts = site.receive()
    site.complete()
    job = settle(start(), site.job("errs", receipts))
    assert job.outcome is (None if again else JobOutcome.FAILED)
    assert job.status is (JobStatus.QUEUED if again else JobStatus.ENDED)
    assert f"exit status {code}" in str(job.error)


def test_fault_71_a_fork_bomb_is_ended(site: Site, start: Start, settle: Settle, confinement: Isolation) -> None:
    """More processes than allowed (here a bounded bomb of 400): all are killed, none is left."""
    body = """
    for _ in range(400):
        if os.fork() == 0:
            os.setsid()
            time.sleep(600.125)
    time.sleep(600.125)
    """
    site.python_plugin("bomb", body, attempts=1)
    receipts = site.receive()
    site.complete()
    job = settle(start(confinement), site.job("bomb", receipts))
    assert job.outcome is JobOutcome.FAILED
    assert "processes" in str(job.error)
    until(lambda: processes_of(site) == [], what="the last of them to be gone")


@_SANDBOX
def test_fault_71_a_hundred_megabytes_on_stdout_do_not_fill_the_disk(
    site: Site, start: Start, settle: Settle, confinement: Isolation
) -> None:
    """The job succeeds; of what it printed the beginning and the end are kept."""
    body = "print('first words')\nfor _ in range(100): print('x' * 1_000_000)\nprint('last words')"
    site.python_plugin("talker", body)
    receipts = site.receive()
    site.complete()
    job = settle(start(confinement), site.job("talker", receipts))
    assert job.outcome is JobOutcome.NO_FINDINGS
    log = site.log(job)
    assert len(log) < 3_000_000
    assert "first words" in log
    assert "last words" in log
    assert "bytes left out" in log


def test_fault_71_other_jobs_live_on(site: Site, start: Start, settle: Settle) -> None:
    """While one plugin hangs to its deadline and crashes another job, a good one ends."""
    site.python_plugin("hang", "time.sleep(600)", deadline="60s")
    site.python_plugin("crash", "os.abort()", attempts=1)
    site.python_plugin("good")
    receipts = site.receive()
    site.complete()
    run = start(jobs_at_once=2)
    hanging = site.job("hang", receipts, priority=10)
    crashing, good = site.job("crash", receipts, priority=5), site.job("good", receipts)
    assert settle(run, crashing).outcome is JobOutcome.FAILED
    assert settle(run, good).outcome is JobOutcome.NO_FINDINGS
    assert site.get(hanging).status is JobStatus.RUNNING


LIES = {
    "an instance of another study": (
        'return Result("findings", "s", (Finding(CODE, regions=(Point([1, 1], ImageReference("9.9.9")),)),))',
        "not an instance that the plugin was given",
    ),
    "a map of another shape": (
        "return Result('findings', 's', (Finding(CODE, True),), Segmentation(np.ones((1, 5, 6), np.uint8), "
        "(ImageReference('1.2.3.1.1'),), (Segment(1, 'x', CATEGORY, CODE),)))",
        "has 5 × 6 pixels a slice, its images have 4 × 6",
    ),
    "a mask of another size than its view": (
        "return Result('findings', 's', (Finding(CODE, True),), Segmentation((np.ones((4, 6), np.uint8), "
        "np.ones((5, 6), np.uint8)), (ImageReference('1.2.3.1.1'), ImageReference('1.2.3.1.2')), "
        "(Segment(1, 'x', CATEGORY, CODE),)))",
        "has 5 × 6 pixels a slice, its images have 4 × 6",
    ),
    "a point outside of the image": (
        'return Result("findings", "s", (Finding(CODE, regions=(Point([6.5, 1], ImageReference("1.2.3.1.1")),)),))',
        "lies outside of its image",
    ),
    "a code that its manifest does not announce": (
        'return Result("findings", "s", (Finding(CATEGORY, True),))',
        "does not list in concepts",
    ),
    "nothing at all": ("os._exit(0)", "is missing"),
    "something that is not JSON": ('(OUT / "result.json").write_text("{"); os._exit(0)', "not valid JSON"),
    "an array outside of its folder": (
        '(OUT / "result.json").write_text(json.dumps({"schema": 1, "status": "findings", "summary": "s", '
        '"findings": [{"code": {"value": "1", "scheme": "99TEST", "meaning": "Thing"}}], "heatmaps": '
        '[{"values": {"array": "../../in/s01/00001.dcm"}, "frames": [], "quantity": '
        '{"value": "1", "scheme": "99TEST", "meaning": "Thing"}}]})); os._exit(0)',
        "not a plain name",
    ),
    "a link": ('os.symlink("/etc/passwd", OUT / "result.json"); os._exit(0)', "cannot be read"),
}


@pytest.mark.parametrize("case", LIES)
def test_fault_73_a_lying_result_is_refused_and_not_tried_again(
    site: Site, start: Start, settle: Settle, case: str
) -> None:
    """What breaks the contract is a failure at once; nothing of it is kept."""
    body, error = LIES[case]
    site.python_plugin("liar", body)
    receipts = site.receive()
    site.complete()
    job = settle(start(), site.job("liar", receipts))
    assert (job.outcome, job.attempts) == (JobOutcome.FAILED, 1)
    assert error in str(job.error)
    assert "discarded" in site.kept(job)["summary"]
    names = sorted(path.name for path in (site.data_folder.results / job.id / "plugin").rglob("*"))
    assert names == ["out", "request.json", "result.json"]


def test_inputs_are_copies(site: Site, start: Start, settle: Settle) -> None:
    """A plugin that overwrites what it was given, even unconfined, does not touch the store."""
    site.python_plugin("scribbler", 'FILES[0].chmod(0o600); FILES[0].write_text("scribbled")')
    receipts = site.receive(1)
    site.complete()
    job = settle(start(), site.job("scribbler", receipts))
    assert job.outcome is JobOutcome.NO_FINDINGS
    assert site.data_folder.find(receipts[0]).read_bytes().endswith(b"instance 1")


def test_too_much_on_disk_is_a_failure_of_the_plugin(site: Site, start: Start, settle: Settle) -> None:
    """More files than allowed end the attempt: scratch is on the disk that receives studies."""
    body = """
    for number in range(10**7):
        (study.scratch / str(number)).touch()
    """
    site.python_plugin("hoarder", body, attempts=1, deadline="60s")
    receipts = site.receive(1)
    site.complete()
    run = start()
    limits = run._catalogue.find("hoarder").limits
    object.__setattr__(limits, "files", 500)  # a smaller limit than any real one, to keep the test small
    job = settle(run, site.job("hoarder", receipts))
    assert job.outcome is JobOutcome.FAILED
    assert "more than 500 files" in str(job.error)
    assert str(job.error).startswith(ExitKind.DISK)


def test_an_instance_rejected_since_the_decision_stops_the_job(site: Site, start: Start, settle: Settle) -> None:
    """Between decision and start a rejection note took an instance out: the plugin never sees it."""
    site.python_plugin("good")
    receipts = site.receive(2)
    site.complete()
    job = site.job("good", receipts)
    with site.ledger.transaction() as database:
        instances.set_status(database, receipts[1], InstanceStatus.REJECTED)
    ended = settle(start(), job)
    assert ended.status is JobStatus.CANCELLED
    assert "1.2.3.1.2 is rejected" in str(ended.error)
    assert not (site.data_folder.results / job.id).exists()


def test_finding_n5_a_missing_file_fails_for_good(site: Site, start: Start, settle: Settle) -> None:
    """A receipt without its file is nothing that time heals; the reader is told, the admin which file, by an alert."""
    site.python_plugin("good")
    receipts = site.receive(2)
    site.complete()
    path = site.data_folder.find(receipts[0])
    path.unlink()
    job = settle(start(), site.job("good", receipts))
    assert (job.outcome, job.attempts) == (JobOutcome.FAILED, 1)
    assert receipts[0] in str(job.error)
    assert "damaged or lost in the storage" in site.kept(job)["summary"]
    (alert,) = [e for e in history.of_kind(site.ledger.database, "instance.damaged") if e.job == job.id]
    assert alert.detail["files"] == [str(path)]
    assert alert.detail["reasons"] == ["the file is missing"]


def test_a_plugin_taken_out_of_the_configuration_ends_its_jobs_visibly(
    site: Site, start: Start, settle: Settle
) -> None:
    """A queued job whose plugin is gone becomes a failed result that can be reported, not silence."""
    receipts = site.receive(1)
    site.complete()
    job = settle(start(), site.job("gone", receipts))
    assert (job.status, job.outcome) == (JobStatus.ENDED, JobOutcome.FAILED)
    assert site.kept(job)["status"] == "failed"
    assert job.algorithm is not None
    assert job.algorithm["name"] == "gone"


def test_finding_x8_who_filled_the_disk_is_named_although_the_disk_is_full(
    site: Site, start: Start, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as an attempt of the plugin, with words that say so; nothing of what it wrote is left meanwhile."""
    site.python_plugin("hog", "(study.scratch / 'big').write_bytes(bytes(2**26)); time.sleep(600)", attempts=1)
    receipts = site.receive(1)
    site.complete()
    run = start()
    object.__setattr__(run._catalogue.find("hog").limits, "disk_bytes", 2**25)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    job = site.job("hog", receipts)
    left: list[str] = []
    keep_log = answer.keep_log

    def look(folder: Path, *rest: Any) -> bool:
        left.extend(path.name for path in (folder / "scratch", folder / "out") if path.exists())
        return keep_log(folder, *rest)

    monkeypatch.setattr(answer, "keep_log", look)
    ended = settle(run, job)
    (attempt,) = attempts.of_job(site.ledger.database, job.id)
    assert (attempt.failure, attempt.counted, ended.outcome) == (AttemptFailureKind.RESOURCES, True, JobOutcome.FAILED)
    assert str(ended.error).startswith("disk: wrote more than 32 MiB: ")
    assert "used more of the computer than it may" in site.kept(ended)["summary"]
    assert left == []


def test_a_full_disk_is_not_the_plugins_fault(
    site: Site, start: Start, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that the node could not carry out is not counted, is alerted, and is tried again later."""
    site.python_plugin("good")
    receipts = site.receive(1)
    site.complete()
    full = True

    lay_out = laying_out.lay_out

    def laid_out(pool: ChildPool, images: Images, cancelled: Callable[[], bool]) -> Report:
        """Onto a device that is always full, in the child that copies."""
        copies = tuple(replace(each, target=Path("/dev/full") if full else each.target) for each in images.copies)
        return lay_out(pool, replace(images, copies=copies), cancelled)

    monkeypatch.setattr("node.run.laying_out.lay_out", laid_out)
    run = start()
    job = settle(run, site.job("good", receipts))
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 0)
    assert attempts.postponements(site.ledger.database, job.id) == 1
    assert site.kinds()[-1] == "job.postponed"
    full = False
    site.clock.pass_(seconds=11)  # type: ignore[attr-defined]  # a HandClock
    assert settle(run, job, attempts=2).outcome is JobOutcome.NO_FINDINGS


# --- images that changed since they came ----------------------------------------------------------


def _flip_last_bit(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def _claim_another_syntax(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0"))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "one bit flipped": _flip_last_bit,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "something appended": lambda path: path.write_bytes(path.read_bytes() + b"\0\0"),
    "emptied": lambda path: path.write_bytes(b""),
    "another file": lambda path: path.write_bytes(b"not an image at all"),
    "another transfer syntax in its meta information": _claim_another_syntax,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_finding_n5_a_damaged_image_is_an_alert_and_never_a_result(
    site: Site, start: Start, settle: Settle, damage: Callable[[Path], object]
) -> None:
    """The job ends at its first attempt, in words for the reader; an alert names the file; the plugin never saw it."""
    site.python_plugin("eager", "print('it ran')", attempts=3)
    receipts = site.receive(3)
    site.complete()
    path = site.data_folder.find(receipts[1])
    damage(path)
    job = settle(start(), site.job("eager", receipts))
    assert (job.status, job.outcome, job.attempts) == (JobStatus.ENDED, JobOutcome.FAILED, 1)
    assert site.kept(job)["summary"].startswith("An image of this study was damaged or lost in the storage")
    assert not site.kept(job).get("findings")
    assert str(path) in (job.error or "")
    (alert,) = [
        e for e in events.of_study(site.ledger.database, job.study_instance_uid) if e.kind == "instance.damaged"
    ]
    assert (alert.job, alert.detail["receipts"]) == (job.id, [receipts[1]])
    assert [each.place for each in history.open_alerts(site.ledger.database)] == [job.id]
    assert alert.detail["files"] == [str(path)]
    assert not (site.data_folder.results / job.id / "log.txt").exists()


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\r", "\f", "\x7f", "\x85"])
def test_finding_s2_control_characters_in_what_a_plugin_is_told_do_not_cost_the_job(
    site: Site, tmp_path: Path, character: str
) -> None:
    """A sender's slip in a text or a code is a space in the request, which a plugin can read then."""
    site.python_plugin("good")
    slip = ("LO", f"A{character}B{character}")
    told = ("PatientSex", "Modality", "SeriesDescription", "FrameOfReferenceUID", "StudyDate", "PatientAge", "Rows")
    slips: dict[str, Any] = dict.fromkeys(told, slip)
    receipts = site.receive(1, **slips)
    site.complete()
    plugin = site.catalogue().plugins["good"]
    given = inputs.gather(site.ledger.database, site.job("good", receipts), plugin, {})
    inputs.lay_out(given, tmp_path / "given", site.data_folder, None, Layer(laying_out.make, handing_on.make))
    request = exchange.read_request(tmp_path / "given")
    assert (request.study.patient_sex, request.series[0].modality, request.series[0].description) == ("A B",) * 3


def test_finding_n5_all_damaged_images_of_a_job_are_one_alert(site: Site, start: Start, settle: Settle) -> None:
    """Who looks at the disk learns at once which images have to be sent again, and how many there are."""
    site.python_plugin("eager", "print('it ran')", attempts=3)
    receipts = site.receive(3)
    site.complete()
    paths = [site.data_folder.find(receipt) for receipt in receipts[1:]]
    for path in paths:
        _flip_last_bit(path)
    job = settle(start(), site.job("eager", receipts))
    assert job.outcome is JobOutcome.FAILED
    assert "and 1 more" in (job.error or "")
    (alert,) = [e for e in history.of_kind(site.ledger.database, "instance.damaged") if e.job == job.id]
    assert alert.detail["files"] == [str(path) for path in paths]


def test_finding_n5_a_file_that_still_waits_in_incoming_is_verified_and_given(
    site: Site, start: Start, settle: Settle
) -> None:
    """An indexed file that was not moved yet (a crash in between) is the same file: the job runs."""
    site.python_plugin("good", "print(len(FILES), FILES[0].read_bytes()[-10:].decode())")
    (receipt,) = site.receive(1)
    site.complete()
    site.data_folder.stored(receipt).rename(site.data_folder.arrived(receipt))
    job = settle(start(), site.job("good", [receipt]))
    assert job.outcome is JobOutcome.NO_FINDINGS
    assert "1 instance 1" in site.log(job)
