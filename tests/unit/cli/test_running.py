"""`check`, usage, and what errors look like."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.in_force import InForce
from node.serve import supervisor
from tests.support.sites.calls import Run


@pytest.mark.usefixtures("config")
def test_check_says_what_the_configuration_means(run: Run, tmp_path: Path) -> None:
    """One line each: listening, who may send, plugins with versions, destinations, isolation."""
    answer = run("check")
    assert (answer.code, answer.err) == (0, "")
    lines = {line.split(None, 1)[0] for line in answer.out.splitlines()}
    assert lines == {"listening", "data", "accepts", "plugin", "rule", "destination", "isolation"}
    assert "PACSNODE on 0.0.0.0 port 11112" in answer.out
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"], "checking starts and makes nothing"


def test_check_says_who_is_told_and_when_rules_are_asked(run: Run, config: Path) -> None:
    """People with their channels, and what a rule does beside running plugins."""
    config.write_text(
        config.read_text() + "people: {duty: {webhook: {url: 'https://pager.example/x'}}}\n"
        "rules:\n- {name: tell, when: {Modality: CT}, decide: series complete, notify: {whom: duty}, mode: pilot,"
        " wait: {until: {Modality: SR}, at_most: 20 minutes}}\n"
    )
    lines = [" ".join(line.split()) for line in run("check").out.splitlines()]
    assert "person duty: webhook" in lines
    assert "rule tell: notifies duty, pilot, routine, asked when series complete, waits up to 20 minutes" in lines
    assert run("check", "--json").json["people"]["duty"]["webhook"] == "https://pager.example/x"


@pytest.mark.usefixtures("config")
def test_check_for_scripts(run: Run) -> None:
    """The same as one JSON object."""
    found = run("check", "--json").json
    assert found["ok"] is True
    assert found["destinations"]["research"]["identity_check"] == "none"
    assert "lung-density" in found["plugins"]


def test_check_shows_every_problem_with_a_caret_and_ends_with_2(run: Run, config: Path) -> None:
    """On standard error; standard output stays empty."""
    config.write_text(config.read_text().replace("ae_title: PACS,", "ae_titel: PACS,") + "moddalities: {}\n")
    answer = run("check")
    assert (answer.code, answer.out) == (2, "")
    assert 'config.yaml:5:10: destinations.pacs.ae_titel: there is no key "ae_titel" here' in answer.err
    assert "^~~~~~~~" in answer.err
    assert 'did you mean "modalities"?' in answer.err


def test_check_for_scripts_lists_the_problems(run: Run, config: Path) -> None:
    """Exit code 2, and the problems on standard output."""
    config.write_text("node: {}\n")
    answer = run("check", "--json")
    assert answer.code == 2
    assert answer.json["ok"] is False
    [problem] = answer.json["problems"]
    assert (problem["file"], problem["line"], problem["yaml_path"]) == ("config.yaml", 1, "node")


@pytest.mark.parametrize("command", [["check"], ["status"], ["serve"], ["study", "x"], ["echo", "pacs"]])
def test_a_missing_configuration_is_wrong_usage(run: Run, command: list[str]) -> None:
    """Exit code 2, and how to name one."""
    answer = run(*command)
    assert answer.code == 2
    assert "--config" in answer.err


def test_the_environment_names_the_configuration(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PACSNODE_CONFIG counts where --config is not given."""
    elsewhere = config.rename(config.parent / "elsewhere.yaml")
    monkeypatch.setenv("PACSNODE_CONFIG", str(elsewhere))
    assert run("check").code == 0
    assert run("check", "--config", "config.yaml").code == 2


@pytest.mark.parametrize("arguments", [["status", "--nonsense"], ["frobnicate"], ["send"], ["echo"]])
def test_wrong_usage_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    """Unknown options and commands, missing arguments."""
    answer = run(*arguments)
    assert (answer.code, answer.out) == (2, "")


def test_serve_hands_the_configuration_to_the_supervisor(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one line each about what it has; the supervisor's exit code is the command's."""
    seen: list[str] = []

    def serve(running: InForce, lines: list[str]) -> int:
        assert running.path == config
        assert running.configuration.node.data == config.parent / "data"
        seen.extend(lines)
        return 0

    monkeypatch.setattr(supervisor, "serve", serve)
    assert run("serve").code == 0
    assert [line.split()[0] for line in seen].count("destination") == 2


def test_the_version(run: Run) -> None:
    """`pacsnode --version`."""
    answer = run("--version")
    assert (answer.code, answer.out.split()[0]) == (0, "pacsnode")


def test_the_schema_is_written_without_any_configuration(run: Run) -> None:
    """Of the configuration, or of a file of rules."""
    assert run("schema").json["title"] == "Configuration of pacsnode"
    assert run("schema", "--rules").json["title"] == "Rules of pacsnode"
