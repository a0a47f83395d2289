"""`status` and `study`: what they show, and what they never do."""

from __future__ import annotations

import errno
import json
import os
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from node.cli.output import SEVERITY_STYLES
from node.clock import SystemClock
from node.ledger import alerts, database, instances, jobs, refused_callers, studies
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Ledger
from node.run import confinement
from node.run.sandbox import Isolation
from node.store.callers import RefusedCaller
from node.store.health import Trouble, note_trouble
from node.store.layout import DataFolder
from tests.support.sites import past
from tests.support.sites.calls import Run
from tests.support.sites.outcomes import queue_job
from tests.support.sites.past import ARRIVING, FAILED, GOOD, HELD, NOW


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("command", [["status"], ["study", "1.2"], ["retry", "1"], ["cancel", "1"]])
def test_no_ledger_is_made_where_there_is_none(run: Run, tmp_path: Path, command: list[str]) -> None:
    """Asking is not installing: exit code 1, and the folder is as it was."""
    answer = run(*command)
    assert answer.code == 1
    assert "there is no ledger" in answer.err
    assert answer.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.usefixtures("ledger")
def test_status_counts_what_the_ledger_holds(run: Run) -> None:
    """Four studies: one reported, one held, one failed, one arriving."""
    found = run("status", "--json").json
    assert found["running"] is False
    assert found["queues"]["studies"] == {"receiving": 1, "complete": 3, "undecided": 1, "held": 1}
    assert found["queues"]["jobs"]["reported"] == 1
    assert found["queues"]["deliveries"]["pacs"]["delivered"] == 1
    assert found["queues"]["deliveries"]["research"]["dead"] == 1
    assert [each["study_instance_uid"] for each in found["held_studies"]] == [HELD]
    assert [each["id"] for each in found["held_deliveries"]] == [3]
    (letter,) = found["dead_letters"]
    assert (letter["id"], letter["dimse_status"], letter["answer"]) == (2, "A900", "dimse:A900")
    assert [each["study_instance_uid"] for each in found["failures"]] == [FAILED]
    assert found["health"]["warnings"] == [
        *([text] if "pacsnode-plugin, have no network" not in (text := found["health"]["isolation"]) else []),
        "research: results are sent without an identity check (identity_check: none)",
    ]
    assert {each["study_instance_uid"] for each in found["studies"]} == {GOOD, HELD, FAILED, ARRIVING}


@pytest.mark.usefixtures("ledger")
def test_finding_x9_status_says_that_plugins_run_unconfined_as_root(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """First of the warnings, marked as an alert; in JSON too."""
    unconfined = confinement.of(Isolation(None, "bubblewrap is not installed"), as_root=True)
    monkeypatch.setattr(confinement, "tried", lambda _: unconfined)
    health = run("status", "--json").json["health"]
    assert (health["isolated"], health["isolation"]) == (False, unconfined.text)
    assert health["warnings"][0].startswith("plugins run unconfined as root: not isolated")
    assert "plugins run unconfined as root" in run("status").out
    assert "red" in SEVERITY_STYLES[unconfined.severity]


@pytest.mark.usefixtures("ledger")
def test_status_says_which_plugin_does_not_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that requires more than this machine gives is an alert of its own; the others' confinement is none."""
    own = confinement.PluginConfinement("strict", "it does not run: why", "alert")
    found = confinement.Confinement(isolated=True, text="isolated: all", severity="", plugins=(own,))
    monkeypatch.setattr(confinement, "tried", lambda _: found)
    health = run("status", "--json").json["health"]
    assert health["warnings"][0] == "strict: it does not run: why"
    assert health["isolation_of"] == {"strict": "it does not run: why"}


@pytest.mark.usefixtures("ledger")
def test_json_is_all_that_stands_on_standard_output(run: Run) -> None:
    """One object from the first character to the last."""
    answer = run("study", GOOD, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out)["study"]["study_instance_uid"] == GOOD


def test_finding_o2_status_and_study_say_how_each_attempt_ended_and_where_its_log_is(
    run: Run, ledger: Ledger, tmp_path: Path
) -> None:
    """Number, when, how long, how, and a path that can be copied; scripts get the same as values."""
    (job,) = [each for each in jobs.troubled(ledger.database, 10) if each.study_instance_uid == FAILED]
    with ledger.transaction() as database:
        jobs.reported(database, NOW, job.id, 1)
        again = jobs.again(database, NOW, job.id, "admin")
        jobs.started(database, NOW, again.id, {"name": "x"}, "python")
        jobs.interrupted(database, NOW + timedelta(seconds=5), again.id, "the node was stopped")
        jobs.started(database, NOW + timedelta(seconds=7), again.id, {"name": "x"}, "python")
    page = run("study", FAILED).out
    assert f"{tmp_path / 'data' / 'results' / job.id / 'log.txt'}" in page.replace("\n", "")
    lines = [" ".join(line.split()) for line in page.splitlines()]
    table = lines[lines.index("Attempts") + 1 : lines.index("Logs")]
    assert table[1] == f"{job.id[:8]} 1 03-02 13:31 598.0 failed (deadline) the plugin was ended after 600 s"
    assert table[2] == f"{again.id[:8]} 1 03-02 13:30 5.0 cancelled (not counted) the node was stopped"
    assert table[3].startswith(f"{again.id[:8]} 2 03-02 13:30 ")
    assert table[3].endswith(" starting")
    found = run("study", FAILED, "--json").json["attempts"]
    assert [(each["job"], each["number"], each["state"], each["counted"]) for each in found] == [
        (job.id, 1, "failed", True),
        (again.id, 1, "cancelled", False),
        (again.id, 2, "starting", True),
    ]
    assert (found[0]["failure"], found[0]["seconds"], found[0]["log"]) == (
        "deadline",
        600.0,
        f"results/{job.id}/log.txt",
    )


def test_finding_o2_status_shows_what_runs_and_where_the_log_of_a_failure_is(
    run: Run, ledger: Ledger, tmp_path: Path
) -> None:
    """A job under way with the number of its attempt and since when; a failed one with the path of its log."""
    (failed,) = [each for each in jobs.troubled(ledger.database, 10) if each.study_instance_uid == FAILED]
    waits = queue_job(ledger, NOW, GOOD, [], rule="another", plugin="nodules", inputs=())
    with ledger.transaction() as database:
        jobs.started(database, NOW, waits.id, {"name": "x"})
        jobs.postponed(database, NOW, waits.id, "disk full", NOW)
        jobs.started(database, NOW, waits.id, {"name": "x"})
    page = run("status").out
    assert f"{tmp_path / 'data' / 'results' / failed.id / 'log.txt'}" in page.replace("\n", "")
    (line,) = [line.split() for line in page.splitlines() if waits.id[:8] in line]
    assert line[-2:] == ["nodules", "2"]
    found = run("status", "--json").json
    (under_way,), (failure,) = found["running_jobs"], found["failures"]
    assert (under_way["id"], under_way["attempts"], under_way["attempt"]["number"]) == (waits.id, 1, 2)
    assert (failure["attempt"]["state"], failure["attempt"]["log"]) == ("failed", f"results/{failed.id}/log.txt")


def test_finding_o9_status_names_studies_by_accession_and_modality(run: Run, ledger: Ledger) -> None:
    """What is held, dead, failed or an alert; one without an accession number by the end of its UID."""
    with ledger.transaction() as database:
        alerts.raised(database, NOW, AlertKind.STUDY_HELD, GOOD, study=GOOD, reason="looked at")
        alerts.raised(database, NOW, AlertKind.STUDY_HELD, "9.9", study="9.9", reason="no row")
    lines = [" ".join(line.split()) for line in run("status").out.splitlines()]
    assert any(line.startswith("…72424000.4712 20260302-0018 CT a correction") for line in lines)
    assert any(line.startswith("3 pacs held 20260302-0017 CT pacs has") for line in lines)
    assert any("20260302-0019 CT lung-density failed" in line for line in lines)
    assert any("20260302-0017 CT study.held" in line for line in lines)
    assert any("9.9 study.held" in line for line in lines)


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("columns", ["80", "120"])
def test_tables_fit_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """No line is longer than the terminal is wide, and what names a study is never cut."""
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (["status"], ["study", GOOD]):
        answer = run(*arguments)
        assert answer.code == 0
        assert max(map(len, answer.out.splitlines())) <= int(columns)
        assert "20260302-0017" in answer.out


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("command", [["status"], ["study", GOOD]])
def test_the_patient_is_shown_only_on_demand(run: Run, command: list[str]) -> None:
    """Not in tables, not in JSON, unless `--identify` is given."""
    for form in ([], ["--json"]):
        assert "SECRET-4711" not in run(*command, *form).out
        assert "SECRET-4711" in run(*command, *form, "--identify").out


@pytest.mark.usefixtures("ledger")
def test_what_the_ledger_holds_cannot_steer_the_terminal(run: Run) -> None:
    """Control characters are escaped and rich's markup is text."""
    out = run("status").out
    assert "\x1b" not in out
    assert "[bold]4 GB[/bold]" in out


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("name", [GOOD, "1772424000.4711", "…72424000.4711", "20260302-0017"])
def test_a_study_is_found_by_uid_by_its_end_and_by_accession_number(run: Run, name: str) -> None:
    """What `status` shows can be pasted."""
    assert run("study", name, "--json").json["study"]["study_instance_uid"] == GOOD


@pytest.mark.usefixtures("ledger")
def test_a_name_that_means_several_studies_is_refused_with_all_of_them(run: Run) -> None:
    """Exit code 2: nothing was shown of any."""
    answer = run("study", "1.2.840.113619")
    assert (answer.code, answer.out) == (2, "")
    assert all(uid in answer.err for uid in (GOOD, HELD, FAILED, ARRIVING))


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("name", ["9.9.9", "%", "_", ""])
def test_a_study_that_is_not_there_is_exit_code_1(run: Run, name: str) -> None:
    """Also for what a database would take for a pattern."""
    answer = run("study", name)
    assert answer.code == 1
    assert "there is no study" in answer.err


@pytest.mark.usefixtures("ledger")
def test_a_study_shows_events_decisions_jobs_and_deliveries(run: Run) -> None:
    """Everything there is, in order; the trace only with --explain."""
    found = run("study", GOOD, "--json").json
    kinds = [event["kind"] for event in found["events"]]
    assert kinds[:3] == ["study.first-received", "study.complete", "decision.matched"]
    assert [each["outcome"] for each in found["decisions"]] == ["matched"]
    assert [each["status"] for each in found["jobs"]] == ["reported"]
    assert [each["status"] for each in found["deliveries"]] == ["delivered", "dead", "held"]
    assert [each["status"] for each in found["identities"]] == ["differs"]
    assert "trace" not in found["decisions"][0]
    assert run("study", GOOD, "--json", "-v").json["decisions"][0]["trace"]["why"] == "it took series 3"


@pytest.mark.usefixtures("ledger")
def test_explain_prints_every_clause(run: Run) -> None:
    """With the value it was held against."""
    assert "Modality: CT — CT in all 275 instances" in run("study", GOOD, "--explain").out
    assert "275 instances" not in run("study", GOOD).out


def test_status_says_whether_the_node_runs(run: Run, ledger: Ledger) -> None:
    """By what the node writes while it runs; what a killed node left behind counts for nothing."""
    listening = ledger.path.parent / "listening.json"
    listening.write_text(json.dumps({"pid": os.getpid(), "port": 11112, "tls_port": None}))
    assert run("status", "--json").json["process"]["port"] == 11112
    assert "port 11112;" in run("status").out
    listening.write_text(json.dumps({"pid": os.getpid(), "port": None, "tls_port": 2762}))
    assert ", TLS port 2762;" in run("status").out
    listening.write_text(json.dumps({"pid": 2**22 + 1, "port": 11112, "tls_port": None}))
    assert run("status", "--json").json["running"] is False


def test_status_reads_while_the_node_writes(run: Run, ledger: Ledger) -> None:
    """WAL: an open write transaction holds no reader up, and is not seen before it ends."""
    with ledger.transaction() as writing:
        studies.unhold(writing, studies.latest(writing, 1)[0].last_received_at, HELD, "test")
        assert run("status", "--json").json["queues"]["studies"]["held"] == 1
    assert run("status", "--json").json["queues"]["studies"]["held"] == 0


@pytest.mark.usefixtures("config")
def test_a_damaged_ledger_is_told_and_left_alone(run: Run, tmp_path: Path) -> None:
    """Exit code 1, in words, and no byte changed."""
    (tmp_path / "data").mkdir()
    broken = tmp_path / "data" / database.FILE
    broken.write_bytes(b"this is no database, whatever its name says" * 100)
    before = broken.read_bytes()
    answer = run("status")
    assert answer.code == 1
    assert "the ledger is damaged" in answer.err
    assert broken.read_bytes() == before


def _warnings(run: Run) -> list[str]:
    warnings: list[str] = run("status", "--json").json["health"]["warnings"]
    return warnings


def test_status_is_red_while_associations_are_refused(run: Run, ledger: Ledger, config: Path) -> None:
    """Below the mark for free space, or with too many objects to be indexed: status says so, and which mark it is."""
    config.write_text(config.read_text().replace("  data: data", "  data: data\n  limits: {free_space: 1000000TiB}"))
    assert any("associations are refused:" in text and "to stay free" in text for text in _warnings(run))
    config.write_text(config.read_text().replace("free_space: 1000000TiB", "free_space: 0, waiting_objects: 1"))
    assert not any("associations are refused" in text for text in _warnings(run))
    incoming = config.parent / "data" / "incoming"
    incoming.mkdir()
    for name in ("a", "b"):
        (incoming / f"{name}.dcm").touch()
    assert "associations are refused: 2 objects wait to be indexed, more than 1 (node.limits)" in _warnings(run)
    assert "! associations are refused" in run("status").out


def test_fault_53_status_is_red_while_nothing_can_be_written(
    run: Run, ledger: Ledger, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds out itself by writing a file; of a failure that a receiver met it reads the word that was left."""
    data = config.parent / "data"
    (data / "incoming").mkdir()
    note_trouble(data, Trouble(NOW, "cannot be written: Input/output error"))
    assert any(text.startswith("what was received") and "Input/output error" in text for text in _warnings(run))
    monkeypatch.setattr(os, "fsync", _no_space)
    assert any(text.startswith("nothing can be received") and "No space left" in text for text in _warnings(run))
    assert list((data / "incoming").iterdir()) == []


def _no_space(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_images_that_are_sent_on_are_counted_and_not_listed(run: Run, ledger: Ledger) -> None:
    """By destination and state in `status`, by reason in `study`; a dead one stands among what needs a person."""
    past.images(ledger)
    found = run("status", "--json").json
    assert {name: count for name, count in found["queues"]["images"]["research"].items() if count} == {
        "waiting": 1,
        "dead": 1,
    }
    assert "research" in found["queues"]["deliveries"]
    (stuck,) = found["stuck_images"]
    assert (stuck["instances"], stuck["why"]) == (1, "RESEARCH accepts none of them")
    assert "0 of 2 images" in " ".join(run("status").out.split())
    images = run("study", FAILED, "--json").json["images"]
    assert [(each["status"], each["instances"]) for each in images] == [("dead", 1), ("waiting", 1)]
    assert "RESEARCH accepts none" in run("study", FAILED).out


def test_studies_are_found_by_words_and_the_patient_is_never_shown(run: Run, ledger: Ledger) -> None:
    """Several are listed, the newest first; one alone is shown; none is exit code 1. The name is in no output."""
    with ledger.transaction() as database:
        for uid in (GOOD, FAILED):
            said = studies.Description("Müller^Anna", "20260301", "1200", f"Thorax {uid[-1]}", frozenset({"CT"}))
            studies.described(database, uid, said)
    several = run("study", "muller", "thorax")
    assert several.code == 0
    assert all(uid[-7:] in several.out for uid in (GOOD, FAILED))
    found = run("study", "MÜLLER", "--json").json
    assert (len(found["studies"]), found["more"], found["studies"][0]["modalities"]) == (2, False, ["CT"])
    one = run("study", "anna", f"thorax {GOOD[-1]}", "--json", "--identify").json
    assert one["study"]["study_instance_uid"] == GOOD
    for answer in (several, run("study", "anna", "--identify"), run("study", "anna", "--json"), run("study", GOOD)):
        assert "ller" not in answer.out + answer.err
    assert "SECRET-4711" in run("study", "anna", "--identify").out
    assert "SECRET-4711" not in several.out
    nobody = run("study", "nobody")
    assert nobody.code == 1
    assert 'there is no study "nobody"' in nobody.err


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], [ARRIVING, FAILED, GOOD, HELD]),
        (["--accession", "20260302-0017"], [GOOD]),
        (["--patient", "secret 4711"], [ARRIVING, FAILED, GOOD, HELD]),
        (["--rule", "thin-chest"], [FAILED, GOOD]),
        (["--plugin", "lung-density", "--outcome", "failed"], [FAILED]),
        (["--outcome", "findings"], [GOOD]),
        (["--outcome", "none"], [ARRIVING, HELD]),
        (["--state", "receiving"], [ARRIVING]),
        (["--state", "held"], [GOOD, HELD]),
        (["--state", "failed", "--outcome", "findings"], [GOOD]),
    ],
)
def test_studies_lists_those_that_have_all_of_it(run: Run, options: list[str], wanted: list[str]) -> None:
    """By order, patient, rule, plugin, outcome and state, alone and together."""
    answer = run("studies", *options, "--json")
    assert {each["study_instance_uid"] for each in answer.json["studies"]} == {*wanted}
    shown = run("studies", *options)
    assert shown.code == 0
    assert all(uid[-7:] in shown.out for uid in wanted)
    assert "SECRET" not in answer.out + shown.out


@pytest.mark.usefixtures("ledger")
def test_studies_says_what_it_cannot_look_for_and_that_there_is_none(run: Run) -> None:
    """A slip is exit code 2 with the words that count; nothing found is exit code 1; that there are more is said."""
    for options, words in {
        ("--outcome", "fine"): "findings, no-findings, not-applicable, failed, none",
        ("--state", "broken"): "receiving, waiting, in-analysis, unsent, held, failed",
        ("--date", "march"): "neither a day (2026-11-03) nor a period",
        ("--since", "yesterday"): "--since:",
        ("--patient", "^"): "no letter or digit",
    }.items():
        answer = run("studies", *options)
        assert (answer.code, words in answer.err) == (2, True), answer.err
    assert run("studies", "--accession", "20260302-001").code == 1
    assert run("studies", "--date", "2020-01-01..2020-12-31", "--json").json == {"studies": [], "more": False}
    assert "there are more" in run("studies", "--limit", "1").out


@pytest.mark.usefixtures("ledger")
def test_studies_goes_on_behind_the_last_one_of_a_page(run: Run) -> None:
    """Page by page, by the study that each page names, all are shown once and in the same order."""
    whole = [each["study_instance_uid"] for each in run("studies", "--json").json["studies"]]
    pages: list[str] = []
    while (found := run("studies", "--limit", "1", "--json", *(["--after", pages[-1]] if pages else []))).code == 0:
        pages += [each["study_instance_uid"] for each in found.json["studies"]]
    assert pages == whole
    assert f"--after {whole[0]}" in run("studies", "--limit", "1").out
    assert "--after" not in run("studies", "--limit", "1", "--after", whole[-2]).out
    assert run("studies", "--after", "9.9.9").code == 1


def test_finding_o3_status_shows_refused_callers_in_a_table(run: Run, ledger: Ledger) -> None:
    """When last, how often, who, from where, why, and what to enter; scripts get the same as values."""
    now = SystemClock().now()
    with ledger.transaction() as database:
        refused_callers.add(database, now, [RefusedCaller("NEW", "PACSNODE", "10.7.0.1", "not known", 5, now)])
    page = " ".join(run("status").out.split())
    assert "Refused callers, last 24 h" in page
    assert "5 NEW 10.7.0.1 not known" in page
    (found,) = run("status", "--json").json["refused_callers"]
    assert found["to_enter"] == "modalities: {new: {ae_title: NEW, addresses: [10.7.0.1]}}"
    assert (found["calling_ae_title"], found["times"]) == ("NEW", 5)


def test_finding_a7_status_warns_of_crowds_and_of_destinations_from_elsewhere(
    run: Run, ledger: Ledger, config: Path
) -> None:
    """One caller with all the places it may have, and a destination that sent from another address than its host's."""
    data = config.parent / "data"
    (data / "listening.json").write_text(json.dumps({"pid": os.getpid(), "port": 104, "tls_port": None}))
    config.write_text(config.read_text().replace("node:\n", "node:\n  maximum_associations: 5\n"))
    data_folder = DataFolder(data)
    first = instances.of_study(ledger.database, GOOD)[0]
    with ledger.transaction() as database:
        sent = replace(
            first,
            receipt="a" * 32,
            sop_instance_uid=f"{GOOD}.9",
            calling_ae_title="PACS",
            peer_address="10.7.0.1",
            received_at=SystemClock().now(),
        )
        instances.insert(database, sent)
    with ExitStack() as held:
        for number in range(4):
            held.enter_context(data_folder.association(f"a{number}", ("CT1", "10.0.0.5")))
        warned = _warnings(run)
        page = " ".join(run("status").out.split())
    assert any(text.startswith("CT1 at 10.0.0.5 has 4 of 5 associations open") for text in warned)
    assert any("PACS sent from 10.7.0.1 last week" in text and "also_from: [10.7.0.1]" in text for text in warned)
    assert "! CT1 at 10.0.0.5 has 4 of 5" in page
    assert "! pacs: PACS sent from 10.7.0.1" in page
