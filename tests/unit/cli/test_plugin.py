"""`pacsnode plugin`: what a person sees of plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.cli import site
from node.ledger import attempts, commissionings, jobs
from node.ledger.database import Ledger
from node.run.commissioning import commissioning_digest
from node.run.digests import CodeDigests
from node.run.file_digests import FileDigests
from plugins import manifest
from tests.support.sites.calls import Run
from tests.support.sites.past import FAILED, NOW


@pytest.fixture
def mine(run: Run, config: Path, tmp_path: Path) -> Path:
    """A plugin of the site, made by the command."""
    assert run("plugin", "new", tmp_path / "mine").code == 0
    config.write_text(
        config.read_text() + "plugins: {mine: {folder: mine, deadline: 30s, parameters: {threshold: 7.5}}}\n"
    )
    return tmp_path / "mine"


def test_list_says_of_each_plugin_where_it_is_from_and_how_it_stands(
    run: Run, config: Path, ledger: Ledger, mine: Path
) -> None:
    """Not tried yet, live, not live: by the digest of what would run now."""

    def state(name: str) -> str:
        found = run("plugin", "list", "--config", config, "--json").json["plugins"]
        return next(each["state"] for each in found if each["name"] == name)

    assert state("lung-density") == "usable; its examples were not run as it is now"
    assert state("mine") == "usable; its examples were not run as it is now"
    digest = commissioning_digest(manifest.load(mine), CodeDigests(), FileDigests())
    with ledger.transaction() as database:
        commissionings.record(database, NOW, "mine", digest, "passed: known", passed=True)
    assert state("mine").startswith("examples passed 2026-03-02T04:30")
    with ledger.transaction() as database:
        commissionings.record(database, NOW, "mine", digest, "known: 3 expected 4", passed=False)
    assert state("mine") == "NOT LIVE: known: 3 expected 4"
    (mine / "my.py").write_text("# a change\n")
    assert state("mine") == "usable; its examples were not run as it is now"


@pytest.fixture
def broken(run: Run, config: Path, ledger: Ledger, mine: Path, tmp_path: Path) -> Path:
    """A second plugin of the site, which asks for something that is not granted."""
    assert run("plugin", "new", tmp_path / "other").code == 0
    manifest_of_other = tmp_path / "other" / "plugin.toml"
    text = manifest_of_other.read_text()
    manifest_of_other.write_text(text.replace("entry =", 'readable = ["/etc/hosts"]\nentry ='))
    config.write_text(config.read_text().replace("plugins: {", "plugins: {other: {folder: other}, "))
    return manifest_of_other


def test_list_names_what_cannot_be_used_beside_all_others(run: Run, config: Path, broken: Path) -> None:
    """A grant that is lacking, a manifest that is broken: its reason, its place, exit code 1, the others as ever."""
    for text, reason in (
        (broken.read_text(), 'write  allow: {readable: ["/etc/hosts"]}'),
        ("schema = 2\n", "expected 1, the version that this program understands"),
    ):
        broken.write_text(text)
        plain, answer = run("plugin", "list", "--config", config), run("plugin", "list", "--config", config, "--json")
        found = {each["name"]: each for each in answer.json["plugins"]}
        assert (answer.code, plain.code) == (1, 1)
        assert reason in found["other"]["state"]
        assert f"{config}:" in plain.err
        assert reason in plain.err
        assert found["mine"]["state"] == "usable; its examples were not run as it is now"
        assert [each["name"] for each in found.values() if each["unusable"]] == ["other"]


def test_one_that_cannot_be_used_keeps_nobody_from_the_others(run: Run, config: Path, broken: Path) -> None:
    """`show` of another plugin works; of this one it says what is wrong, and nothing of the rest."""
    assert "30 s, 2048 MiB" in run("plugin", "show", "mine", "--config", config).out
    for name in ("other", broken.parent):
        answer = run("plugin", "show", name, "--config", config)
        assert (answer.code, "asks for more than it is granted" in answer.err) == (2, True)


def test_what_is_wrong_beyond_plugins_is_the_configurations(run: Run, config: Path, broken: Path) -> None:
    """With another mistake beside it nothing can be listed, and both are named."""
    config.write_text(config.read_text() + "nonsense: 1\n")
    answer = run("plugin", "list", "--config", config)
    assert (answer.code, answer.out) == (2, "")
    assert "nonsense" in answer.err
    assert "asks for more than it is granted" in answer.err


def test_show_says_what_the_node_understands(run: Run, config: Path, ledger: Ledger, mine: Path) -> None:
    """Limits and parameters of the site, bounds of the concepts, digests, and when the examples passed."""
    told = run("plugin", "show", "mine", "--config", config, "--json").json
    assert told["plugin"] == ["Mine 0.1.0 (Example)"]
    assert told["runs"] == ["python: mine:Mine"]
    assert told["limits"] == ["30 s, 2048 MiB of memory"]
    assert "Volume (118565006, SCT) in mL, from 0, to 100000" in told["concept"]
    assert told["parameter"][0].startswith("threshold = -300.0, 7.5 at this site: ")
    assert told["examples"] == ["never"]
    plain = run("plugin", "show", mine).out
    assert "limits       120 s, 2048 MiB of memory" in plain


def test_log_shows_what_was_printed_and_the_line_that_failed(run: Run, config: Path, ledger: Ledger) -> None:
    """By the beginning of the job's id, the accession number or the UID of the study; for the admin, with the path."""
    (job,) = jobs.of_study(ledger.database, FAILED)
    log = config.parent / "data" / "results" / job.id / "log.txt"
    log.parent.mkdir(parents=True)
    log.write_text("--- attempt 1\nloading weights\x1b[31m\n")
    said = [run("plugin", "log", name, "--config", config) for name in (job.id[:8], "20260302-0019", FAILED)]
    assert {each.code for each in said} == {0}
    assert len({each.out for each in said}) == 1
    assert "the plugin was ended after 600 s" in said[0].out
    assert "  | loading weights\\x1b[31m" in said[0].out
    assert str(log) in said[0].out
    assert attempts.of_job(ledger.database, job.id)[0].log == f"results/{job.id}/log.txt"


def test_log_by_an_accession_number_that_could_be_a_command_for_others(run: Run, config: Path, ledger: Ledger) -> None:
    """Held studies included: every name of a study that other commands take."""
    for row in ledger.database.query("SELECT accession_number AS name FROM studies"):
        answer = run("plugin", "log", row["name"], "--config", config)
        assert "to release" not in answer.err, row["name"]


def test_the_site_of_this_folder_counts_unless_a_folder_is_named(
    run: Run, config: Path, ledger: Ledger, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for other commands, so that the command of an alert works as it is written."""
    monkeypatch.chdir(config.parent)
    monkeypatch.setattr(site, "DEFAULT_CONFIG", Path(config.name))
    assert "mine" in run("plugin", "list").out
    assert "30 s, 2048 MiB" in run("plugin", "show", "mine").out
    assert "120 s, 2048 MiB" in run("plugin", "show", mine).out


def test_log_of_what_is_not_there_says_so(run: Run, config: Path, ledger: Ledger) -> None:
    """Neither a job nor a study; and a log that was removed."""
    assert run("plugin", "log", "ffffffff", "--config", config).code == 1
    answer = run("plugin", "log", FAILED, "--config", config)
    assert (answer.code, "it cannot be read: No such file" in answer.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nowhere"], "neither a folder with a plugin.toml nor the name of a plugin"),
        (["run", "lung-density"], "name the images of a study"),
        (["run", "lung-density", "nowhere"], "there is no such file or folder"),
        (["run", "lung-density", ".", "--parameter", "x"], "--parameter x: expected name=value"),
        (["run", "lung-density", ".", "--role", "prior"], "--role prior: expected prior=FOLDER"),
        (["run", "lung-density", ".", "-p", "maximum_slice_m=2"], "did you mean 'maximum_slice_mm'"),
        (["run", "lung-density", ".", "-p", "maximum_slice_mm=two"], "'two' is not a value of its type"),
        (["new", "x", "--kind", "java"], "--kind java: expected one of python, command"),
        (["new", "x", "--for", "tea"], "--for tea: expected one of volume"),
        (["check", "."], "there is no plugin.toml in this folder"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_run(run: Run, arguments: list[str], says: str) -> None:
    """Exit code 2, in one line."""
    answer = run("plugin", *arguments)
    assert answer.code == 2
    assert says in answer.err
