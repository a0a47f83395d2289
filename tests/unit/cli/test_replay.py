"""`replay`: draft rules on the studies of the last days, from facts alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.clock import SystemClock
from node.ledger import jobs
from node.ledger.job import JobOutcome
from tests.support.clocks import HandClock
from tests.support.sites.calls import Run
from tests.support.sites.job_site import Site

HEAD = "node: {time_zone: Asia/Seoul, data: data}\nrules:\n  - rules.yaml\n"
RULE = """\
- name: {name}
  when: {{Modality: CT, SeriesDescription: {text}}}
  choose: {{where: {{SliceThickness: {{at_most: {most}}}}}, prefer: [{{SliceThickness: {order}}}]}}
  run: {run}
  mode: shadow
"""


def rule(name: str, text: str = "Thorax", most: float = 9, order: str = "smallest", run: str = "lung-density") -> str:
    return RULE.format(name=name, text=text, most=most, order=order, run=run)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Three studies: thorax with two series, thorax with a thick one, abdomen. Their images are gone."""
    (tmp_path / "config.yaml").write_text(HEAD)
    (tmp_path / "rules.yaml").write_text(rule("thorax") + rule("same"))
    made = Site(tmp_path, HandClock(SystemClock().now()))
    made.receive(2, study="1.1", SliceThickness=("DS", 1), SeriesNumber=("IS", 1))
    made.receive(2, study="1.1", series="2", SliceThickness=("DS", 5), SeriesNumber=("IS", 2))
    made.receive(2, study="1.2", SliceThickness=("DS", 5), SeriesNumber=("IS", 1))
    made.receive(2, study="1.3", SliceThickness=("DS", 1), SeriesDescription=("LO", "Abdomen"))
    for study in ("1.1", "1.2", "1.3"):
        made.complete(study)
    shutil.rmtree(made.data_folder.store)
    yield made
    made.ledger.close()


@pytest.fixture
def draft(tmp_path: Path, site: Site) -> Path:
    assert site.ledger
    path = tmp_path / "draft.yaml"
    path.write_text(rule("thorax", order="largest") + rule("same") + rule("abdomen", text="Abdomen"))
    return path


def test_what_would_be_other_by_rule_and_study(run: Run, draft: Path) -> None:
    """New, different with other series, and nothing of the rule that is the same."""
    found = run("replay", "--rules", draft, "--json").json
    assert found["studies"] == 3
    assert {each["rule"]: list(each.values())[1:] for each in found["rules"]} == {
        "thorax": [2, 2, 0, 0, 1, 0, 0],
        "same": [2, 2, 0, 0, 0, 0, 0],
        "abdomen": [0, 1, 1, 0, 0, 0, 0],
    }
    different, new = sorted(found["differences"], key=lambda each: str(each["change"]))
    assert (different["study_instance_uid"], different["rule"]) == ("1.1", "thorax")
    assert ("series 1 (2)" in different["now"], "series 2 (2)" in different["draft"]) == (True, True)
    assert (new["study_instance_uid"], new["rule"], new["change"]) == ("1.3", "abdomen", "new")


def test_what_would_be_gone_says_why(run: Run, draft: Path) -> None:
    """The rule that the draft leaves out, and the one whose condition is now in the way."""
    draft.write_text(rule("thorax", most=2))
    found = run("replay", "--rules", draft, "--json").json
    gone = {(each["rule"], each["study_instance_uid"]): each["draft"] for each in found["differences"]}
    assert gone["same", "1.1"] == gone["same", "1.2"] == "there is no such rule"
    assert gone["thorax", "1.2"].startswith("when holds, but no series is left to choose")


def test_plugin_hours_a_day_come_from_past_jobs(run: Run, site: Site, draft: Path) -> None:
    """Two runs of half an hour in two days are half an hour a day; of a plugin that never ran nothing is known."""
    job = site.job("lung_density", [], study="1.1")
    with site.ledger.transaction() as database:
        jobs.started(database, site.clock.now(), job.id, {})
    assert isinstance(site.clock, HandClock)
    site.clock.pass_(minutes=30)
    with site.ledger.transaction() as database:
        jobs.ended(database, site.clock.now(), job.id, JobOutcome.NO_FINDINGS, "results/x")
    draft.write_text(rule("thorax"))
    [load] = run("replay", "--rules", draft, "--since", "2d", "--json").json["plugins"]
    assert (load["runs_now"], load["runs_draft"]) == (4, 2)
    assert load["mean_seconds"] == pytest.approx(1800, abs=0.1)
    assert load["hours_a_day_draft"] == pytest.approx(0.5, abs=0.001)


def test_it_is_shown_in_tables(run: Run, draft: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at 80 columns; a draft that changes nothing says so."""
    for columns in ("80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        said = run("replay", "--rules", draft).out
        assert max(map(len, said.splitlines())) <= int(columns)
        for part in ("3 studies that were complete", "abdomen", "never ran", "different", "draft:"):
            assert part in said
    draft.write_text(rule("thorax") + rule("same"))
    assert "The draft changes nothing" in run("replay", "--rules", draft).out


def test_only_studies_since_then_count(run: Run, site: Site, draft: Path) -> None:
    """Complete an hour in the past is outside of half an hour."""
    with site.ledger.transaction() as database:
        database.execute("UPDATE studies SET completed_at='2020-01-01T00:00:00.000000Z' WHERE study_instance_uid='1.3'")
    assert run("replay", "--rules", draft, "--json").json["studies"] == 2


def test_a_draft_with_problems_is_refused_at_its_line(run: Run, draft: Path) -> None:
    """As `check` does: exit code 2. So for a draft that is not there and a period that is none."""
    draft.write_text(rule("thorax").replace("Modality", "Modalty"))
    answer = run("replay", "--rules", draft)
    assert answer.code == 2
    assert "draft.yaml:2:10" in answer.err
    assert run("replay", "--rules", "nowhere.yaml").code == 2
    assert run("replay", "--rules", draft, "--since", "a week").code == 2


def test_a_draft_may_be_a_whole_configuration(run: Run, draft: Path) -> None:
    """Its rules are taken."""
    draft.write_text(HEAD.replace("rules.yaml", "other.yaml"))
    (draft.parent / "other.yaml").write_text(rule("thorax"))
    found = run("replay", "--rules", draft, "--json").json
    assert [each["rule"] for each in found["rules"]] == ["thorax", "same"]


ENVELOPE = """\
schema = 1
outputs = ["findings"]
[identity]
name = "Thin slices"
version = "1"
manufacturer = "tests"
intended_use = "Test."
[runtime]
kind = "command"
command = ["./run", "{folder}"]
[[concepts]]
value = "1"
scheme = "99TEST"
meaning = "Thing"
[envelope]
SliceThickness = {maximum = 2.0}
Manufacturer = ["Mill"]
"""


def test_how_much_lies_outside_of_what_a_plugin_was_validated_on(run: Run, draft: Path, site: Site) -> None:
    """By limit and scanner, now and in the draft, and how many runs would end as not applicable."""
    site.data_folder.store.mkdir()
    site.receive(2, study="1.4", SliceThickness=("DS", 5), Manufacturer=("LO", "Other"), StationName=("SH", "S"))
    site.complete("1.4")
    folder = draft.parent / "thin"
    folder.mkdir()
    (folder / "plugin.toml").write_text(ENVELOPE)
    (draft.parent / "config.yaml").write_text(f"plugins:\n  thin: {{folder: {folder}}}\n{HEAD}")
    (draft.parent / "rules.yaml").write_text(rule("thorax", run="thin"))
    draft.write_text(rule("thorax", run="thin", most=2))
    found = run("replay", "--rules", draft, "--json").json
    counted = {(each["limit"], each["scanner"]): (each["now"], each["draft"]) for each in found["outside"]}
    assert counted == {
        ("slice thickness", ""): (1, 0),
        ("slice thickness", "Other"): (1, 0),
        ("manufacturer", "Other"): (1, 0),
        ("manufacturer: not known", ""): (1, 1),
    }
    [load] = found["plugins"]
    assert (load["plugin"], load["refused_now"], load["refused_draft"]) == ("thin", 2, 0)
    out = " ".join(run("replay", "--rules", draft).out.split())
    assert "Runs outside of what plugins were validated on" in out
    assert "thin: now 2 of 3, draft 0 of 1 end as not applicable by that" in out
