"""`explain`: why a rule matches a study or does not, from the ledger and from files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from node.ledger import instances
from node.ledger.instances import InstanceStatus
from node.route.stage import RouteStage
from node.run.catalogue import Catalogue
from rules.model import Rule
from tests.support.images.receipts import ct
from tests.support.sites.calls import Run
from tests.support.sites.configurations import ruled
from tests.support.sites.job_site import STUDY, Site

CONFIG = """\
node: {time_zone: Asia/Seoul, data: data}
destinations:
  research: {ae_title: R, host: 127.0.0.1, port: 104, audience: evaluation}
rules:
  - name: thorax
    when: {Modality: CT, PatientSex: M}
    choose: {where: {SliceThickness: {at_most: 1.5}}}
    run: lung-density
    send: research
    mode: shadow
  - name: any-ct
    when: {Modality: CT}
    choose: {take: all}
    run: lung-density
    send: research
    mode: shadow
  - name: resting
    enabled: false
    when: {Modality: MR}
    choose: {take: all}
    run: lung-density
    send: research
    mode: shadow
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "config.yaml").write_text(CONFIG)
    made = Site(tmp_path)
    yield made
    made.ledger.close()


def test_each_rule_with_each_clause_value_place_and_reason(run: Run, site: Site) -> None:
    """The failing clause shows the value found and where; the only clause in the way is a near miss."""
    site.receive(2)
    site.receive(1, series="2", Modality=("CS", "SR"), SeriesNumber=("IS", 7))
    site.complete()
    answer = run("explain", STUDY)
    assert (answer.code, answer.err) == (0, "")
    assert "near miss, all but: PatientSex: M" in answer.out
    assert "- PatientSex: M — F in all 3 instances, fails" in answer.out
    assert "+ Modality: CT — CT in 2 of 3 instances (series ?); SR in 1 of 3 instances (series 7), fails" in answer.out
    assert "any-ct: matched" in answer.out
    assert "resting" not in answer.out, "a disabled rule decides nothing"


def test_for_scripts(run: Run, site: Site) -> None:
    """The same as one JSON object with the engine's traces."""
    site.receive(2)
    site.complete()
    found = run("explain", STUDY, "--json").json
    [study] = found["studies"]
    assert [(each["rule"], each["matched"]) for each in study["rules"]] == [("thorax", False), ("any-ct", True)]
    assert (study["complete"], study["decided"], len(found["rule_set"])) == (True, [], 64)


def test_one_rule_alone_even_a_disabled_one(run: Run, site: Site) -> None:
    """`--rule`; a name that is none is wrong usage, with what was probably meant."""
    site.receive(1)
    site.complete()
    assert "resting: not matched" in run("explain", STUDY, "--rule", "resting").out
    answer = run("explain", STUDY, "--rule", "restng")
    assert (answer.code, 'did you mean "resting"?' in answer.err) == (2, True)


def test_what_was_decided_then_is_shown_where_it_differs(run: Run, site: Site) -> None:
    """Under older rules it did not match: that trace stands beside today's verdict."""
    site.receive(1)
    site.complete()
    old = Rule.model_validate(
        {"name": "any-ct", "when": {"Modality": "MR"}, "choose": {}, "run": "lung-density", "mode": "shadow"}
    )
    RouteStage(site.node, ruled([old]), lambda _: Catalogue()).run_once()
    said = run("explain", STUDY).out
    assert "by other rules (version " in said
    assert "Then, any-ct not matched:" in said
    assert "- Modality: MR — CT in the only instance, fails" in said


def test_a_study_that_is_still_arriving(run: Run, site: Site) -> None:
    """By what has come; nothing is decided on it."""
    site.receive(2)
    said = run("explain", STUDY).out
    assert "not complete yet: nothing is decided" in said
    assert "any-ct: not matched (the study is not complete)" in said
    assert "CT in all 2 instances" in said


def test_images_that_no_longer_count_are_left_out(run: Run, site: Site) -> None:
    """A rejected instance is none that rules see; the file of none is needed."""
    receipts = site.receive(3)
    site.complete()
    with site.ledger.transaction() as database:
        instances.set_status(database, receipts[0], InstanceStatus.REJECTED)
    for receipt in receipts:
        site.data_folder.stored(receipt).unlink()
    assert "CT in all 2 instances" in run("explain", STUDY).out


@pytest.mark.usefixtures("site")
def test_files_are_explained_as_they_would_be_on_arrival(run: Run, tmp_path: Path) -> None:
    """Folders to their end, a study once, what is no DICOM file named; without a study in the ledger."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for number in (1, 2):
        part_10(ct(number, PatientSex="M", SliceThickness="1.0"), folder / "deep" / f"{number}.dcm")
    part_10(ct(1), folder / "again.dcm")
    (folder / "notes.txt").write_text("no image")
    answer = run("explain", folder)
    assert answer.code == 0
    assert "notes.txt: no DICOM file" in answer.err
    assert "1.dcm: another file holds the same SOP instance" in answer.err
    found = run("explain", folder / "deep", "--json").json
    assert [each["matched"] for each in found["studies"][0]["rules"]] == [True, True]


def part_10(dataset: Dataset, path: Path) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)


@pytest.mark.usefixtures("site")
def test_nothing_to_explain(run: Run, tmp_path: Path) -> None:
    """No such study, no DICOM file: 1. A file that is not there beside one that is, two studies: 2."""
    answer = run("explain", "4711")
    assert answer.code == 1
    assert 'there is no file or folder "4711"' in answer.err
    (tmp_path / "x.txt").write_text("x")
    assert run("explain", "x.txt").code == 1
    assert run("explain", "x.txt", "y.txt").code == 2
    assert run("explain", "4711", "4712").code == 2


def test_it_can_be_read_at_80_columns(run: Run, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is longer, and what is wrapped stands under its own beginning."""
    site.receive(1, StudyDescription=("LO", "CT of the whole thorax with all that belongs to it " * 2))
    site.complete()
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, run("explain", STUDY).out.splitlines())) <= 80


def test_finding_o1_study_says_first_which_rule_came_closest_and_what_it_lacked(run: Run, site: Site) -> None:
    """In words, above the decisions; each other rule says how far it was, the closest first; JSON has it as values."""
    site.receive(2)
    site.complete()
    shadow = {"choose": {"take": "all"}, "run": "lung-density", "mode": "shadow"}
    rules = [
        Rule.model_validate({"name": name, "when": when, **shadow})
        for name, when in (
            ("far", {"Modality": "MR", "PatientSex": "M", "SliceThickness": {"below": 0.1}}),
            ("near", {"Modality": "CT", "PatientSex": "M"}),
            ("fits", {"Modality": "CT"}),
        )
    ]
    RouteStage(site.node, ruled(rules), lambda _: Catalogue()).run_once()
    lines = [" ".join(line.split()) for line in run("study", STUDY).out.splitlines()]
    head = lines.index("Closest rule that did not match: near")
    assert lines[head + 1] == "PatientSex: M — F in all 2 instances, fails"
    table = lines[lines.index("Decisions") + 2 :]
    assert [line.split()[1] for line in table if line.startswith("1 ")] == ["fits", "near", "far"]
    assert "when: 1 of 2 hold, all but PatientSex: M" in " ".join(table)
    found = {each["rule"]: each for each in run("study", STUDY, "--json").json["decisions"]}
    assert found["near"]["lacks"] == {"stopped": "when", "asked": 2, "clauses": ["PatientSex: M"]}
    assert "lacks" not in found["fits"]


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
SliceThickness = {minimum = 0.5, maximum = 2.0}
ConvolutionKernel = ["B30f"]
"""


def test_what_a_plugin_was_not_validated_on(run: Run, site: Site, tmp_path: Path) -> None:
    """Said of each matching rule's run, with what the site lets become of it; nothing where the images lie within."""
    folder = tmp_path / "plugins" / "lung-density"
    folder.mkdir(parents=True)
    (folder / "plugin.toml").write_text(ENVELOPE)
    thick = "Outside of what this was validated on: the slice thickness is 5 mm; it was validated from 0.5 to 2 mm."
    unknown = "Not known whether this was validated on such images: they do not state the convolution kernel."
    site.receive(2, SliceThickness=("DS", 5.0))
    site.complete()
    plugins = f"plugins:\n  lung-density: {{folder: {folder}}}\n"
    (tmp_path / "config.yaml").write_text(plugins + CONFIG)
    [study] = run("explain", STUDY, "--json").json["studies"]
    assert study["outside"] == [f"lung-density does not run on these images: {thick}"]
    (tmp_path / "config.yaml").write_text(plugins.replace("}", ", envelope: {outside: note}}") + CONFIG)
    [study] = run("explain", STUDY, "--json").json["studies"]
    assert study["outside"] == [f"lung-density runs, and its report says: {each}" for each in (thick, unknown)]
    assert "lung-density runs, and its report says: Outside of what" in " ".join(run("explain", STUDY).out.split())
    site.receive(1, study="1.7", SliceThickness=("DS", 1.0), ConvolutionKernel=("SH", "B30f"))
    site.complete("1.7")
    assert run("explain", "1.7", "--json").json["studies"][0]["outside"] == []
