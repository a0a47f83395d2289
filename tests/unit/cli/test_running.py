"""`check`, usage, and what errors look like."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from node.clock import SystemClock
from node.config import in_force, loading
from node.config.in_force import InForce
from node.ledger import jobs
from node.ledger.database import Ledger
from node.run import catalogue, sandbox
from node.serve import supervisor
from tests.support.dimse.certificates import signed_by_itself
from tests.support.sites import past
from tests.support.sites.calls import Run
from tests.support.sites.past import NOW


@pytest.mark.usefixtures("config")
def test_check_says_what_the_configuration_means(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each: listening, who may send, plugins with versions, destinations, isolation."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    answer = run("check")
    assert (answer.code, answer.err) == (0, "")
    lines = {line.split(None, 1)[0] for line in answer.out.splitlines()}
    assert lines == {
        "listening",
        "data",
        "accepts",
        "quiet",
        "plugin",
        "identity",
        "privileges",
        "rule",
        "destination",
        "retention",
        "backup",
        "alerts",
        "isolation",
    }
    told = " ".join(answer.out.split())
    assert "lung-density gets pseudonyms instead of names, numbers and UIDs" in told
    assert "burned into the pixels stays (usual in US, SC, XA)" in told
    assert "PACSNODE on 0.0.0.0 port 11112" in answer.out
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"], "checking starts and makes nothing"


def test_check_says_that_a_plugin_may_not_run_where_isolation_is_required(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of one without examples: each of its attempts would fail. Exit code 2; not for one that is let off."""
    same = sandbox.Isolation(sandbox.Sandbox("bwrap", ()), "", same_user="there is no user pacsnode-plugin")
    monkeypatch.setattr(catalogue, "isolation", lambda: same)
    text = config.read_text().replace("data: data\n", "data: data\n  isolation: required\n")
    config.write_text(f"{text}plugins: {{lung-density: {{}}}}\n")
    answer = run("check")
    assert answer.code == 2
    assert (
        "plugins.lung-density: it does not run: isolation: required asks for more than this machine gives" in answer.err
    )
    assert "there is no user pacsnode-plugin" in answer.err
    assert run("check", "--json").json["ok"] is False
    config.write_text(f"{text}plugins: {{lung-density: {{isolation: off}}}}\n")
    assert run("check").code == 0


def test_finding_a8_check_says_that_nothing_is_received_without_tls(run: Run, config: Path, tmp_path: Path) -> None:
    """Where the plain port is off: no number for it, in words and in JSON."""
    signed_by_itself(tmp_path, "node")
    tls = "{port: 2762, certificate: node.pem, key: node.key, client_certificates: none}"
    config.write_text(config.read_text().replace("data: data\n", f"data: data\n  listen: {{port: off, tls: {tls}}}\n"))
    said = run("check").out
    assert "on 0.0.0.0 TLS on port 2762 (client certificates none), nothing without TLS" in said
    assert run("check", "--json").json["listening"]["port"] is None


def test_finding_x6_check_warns_of_root_and_of_secrets_that_others_can_read(
    run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the file's name and mode, at the line that names it; a group that may only read is often meant."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (tmp_path / "token").write_text("secret")
    config.write_text(
        config.read_text() + "people: {duty: {webhook: {url: 'https://pager.example/x', token_file: token}}}\n"
    )
    for mode, is_told in ((0o644, True), (0o620, True), (0o640, False), (0o600, False)):
        (tmp_path / "token").chmod(mode)
        said = run("check")
        assert said.code == 0
        assert "would run as root" in said.err
        assert (f"other users can read or replace token (mode {mode:04o})" in said.err) is is_told
        assert len(run("check", "--json").json["warnings"]) == 1 + is_told
        assert "secret" not in said.err


def test_finding_o9_check_names_a_sender_once(run: Run, config: Path) -> None:
    """A title that is a modality and a destination of one name, or several destinations, is one entry."""
    config.write_text(
        config.read_text()
        + "  mirror: {ae_title: PACS, host: 127.0.0.1, port: 11115}\nmodalities: {pacs: {ae_title: PACS}}\n"
    )
    (line,) = [" ".join(each.split()) for each in run("check").out.splitlines() if each.startswith("accepts")]
    assert line == "accepts PACS (pacs, mirror), RESEARCH (research)"


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


def test_check_says_how_the_site_is_looked_after(run: Run, config: Path) -> None:
    """What is deleted and when, where backups go, who hears of alerts; and of each that there is none."""
    before = [" ".join(line.split()) for line in run("check").out.splitlines()]
    assert "retention nothing is deleted" in before
    assert "backup the node makes none by itself" in before
    assert "alerts nobody is notified (pacsnode status shows them)" in before
    config.write_text(
        config.read_text()
        + "people: {admin: {webhook: {url: https://pager.example/x}}}\n"
        + "retention: {unmatched: 2d, images: 30d, below: 50GiB, first: [images]}\n"
        + "backup: {to: /mnt/backup, keep: 3}\nalerts: {to: admin, repeat: 2h}\nheartbeat: {url: https://watch.example/}\n"
    )
    lines = [" ".join(line.split()) for line in run("check").out.splitlines()]
    assert (
        "retention deletes unmatched after 2d, images after 30d, each day from 03:15; "
        "where less than 51200 MiB is free, deletes images earlier" in lines
    )
    assert "backup to /mnt/backup each day at 02:30, the newest 3 are kept" in lines
    assert "alerts admin: all, critical ones at once, again each 2h" in lines
    assert "heartbeat https://watch.example/, each 5m while every stage turns" in lines
    found = run("check", "--json").json
    assert found["retention"] == {"unmatched": "2d", "images": "30d"}
    assert found["backup"]["keep"] == 3


@pytest.mark.parametrize("to", ["data", "data/backup", "."])
def test_check_refuses_backups_within_or_around_the_data(run: Run, config: Path, to: str) -> None:
    """As `backup` does each night: by day, with file, line and key."""
    config.write_text(config.read_text() + f"backup: {{to: {to}}}\n")
    said = run("check")
    assert said.code == 2
    assert "backup.to: backups cannot be inside node.data" in said.err


def test_check_says_how_a_time_of_day_is_written(run: Run, config: Path) -> None:
    """Of `backup.at` as of `retention.at`, and not a pattern."""
    config.write_text(config.read_text() + "backup: {to: /mnt/backup, at: 2:30}\n")
    said = run("check")
    assert said.code == 2
    assert "backup.at: " in said.err
    assert 'in quotes, as in "08:30"' in said.err


def test_finding_o8_check_shows_sample_limits_and_hours(run: Run, config: Path) -> None:
    """`share: 0.1` is 10 %, and how often and when a rule runs is in its line; what the site ignores is, too."""
    config.write_text(
        config.read_text() + "ignore: [{name: cds, when: {StationName: {matches: '*import*'}}}]\n"
        "rules:\n- {name: some, when: {Modality: CT}, choose: {where: {Modality: CT}}, run: lung-density, mode: shadow,"
        " once: study, sample: {share: 0.1}, limits: {enrolled: 400, per_day: 20, cool_down: 30 days},"
        " hours: {open: [{days: [monday], between: ['18:00', '07:00']}], otherwise: skip}}\n"
    )
    lines = [" ".join(line.split()) for line in run("check").out.splitlines()]
    assert 'ignores cds: {StationName: {matches: "*import*"}}' in lines
    (said,) = (line for line in lines if line.startswith("rule some"))
    assert said.endswith(
        "shadow, routine, once a study, on 10 % of the studies, until 400 studies are enrolled, at most 20 studies a"
        " day, once a patient in 30 days, open monday 18:00-07:00, skipped at other times"
    )


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


@pytest.mark.parametrize(
    "command", [["check"], ["status"], ["serve", "--allow-root"], ["study", "x"], ["echo", "pacs"]]
)
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
    assert run("serve", "--allow-root").code == 0
    assert [line.split()[0] for line in seen].count("destination") == 2


@pytest.mark.usefixtures("config")
def test_serve_refuses_to_run_as_root_unless_told_to(
    run: Run, served: list[tuple[InForce, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is read or made; it names what makes a service of it, and what to say on a machine for trials."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    refused = run("serve")
    assert (refused.code, served) == (2, [])
    assert "pacsnode install" in refused.err
    assert "pacsnode serve --allow-root" in refused.err
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert run("serve").code == 0
    assert len(served) == 1


def test_the_version(run: Run) -> None:
    """`pacsnode --version`."""
    answer = run("--version")
    assert (answer.code, answer.out.split()[0]) == (0, "pacsnode")


def test_the_schema_is_written_without_any_configuration(run: Run) -> None:
    """Of the configuration, or of a file of rules."""
    assert run("schema").json["title"] == "Configuration of pacsnode"
    assert run("schema", "--rules").json["title"] == "Rules of pacsnode"


def test_finding_o12_check_says_how_long_each_source_has_to_be_quiet(run: Run, config: Path) -> None:
    """MR and US have periods of their own also where only the general one was shortened."""
    text = config.read_text().replace("node:", "node:\n  completion: {quiet: 2s}", 1)
    config.write_text(text + "modalities: {us1: {ae_title: US1, quiet: 9s}}\n")
    lines = [" ".join(line.split()) for line in run("check").out.splitlines()]
    assert [line for line in lines if line.startswith("quiet")] == [
        "quiet 2s without a new object: then a study is complete",
        "quiet 5m for a study with MR series, unless quiet_by_modality is given",
        "quiet 5m for a study with US series, unless quiet_by_modality is given",
        "quiet 9s for what US1 (us1) sends, whatever its modality",
    ]
    found = run("check", "--json").json["quiet"]
    assert found == {"default": "2s", "by_modality": {"MR": "5m", "US": "5m"}, "by_sender": {"us1": "9s"}}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[InForce, str]]:
    """What `serve` would have run, and what it would have said."""
    found: list[tuple[InForce, str]] = []
    monkeypatch.setattr(supervisor, "serve", lambda running, lines: found.append((running, "\n".join(lines))) or 0)
    return found


@pytest.mark.parametrize("text", ["node: [", "", "node: {time_zone: UTC}\nrulez: []\n"])
def test_finding_o5_a_spoilt_file_does_not_stop_a_restart(
    run: Run, config: Path, served: list[tuple[InForce, str]], text: str
) -> None:
    """The node starts on what was accepted last and says so with the mistake; `check` goes on refusing the file."""
    assert run("serve", "--allow-root").code == 0
    accepted = served[0][0]
    (config.parent / "data").mkdir()
    in_force.write(accepted)
    config.write_text(text)
    answer = run("serve", "--allow-root")
    assert answer.code == 0
    running, said = served[1]
    assert (running.configuration, running.since) == (accepted.configuration, accepted.since)
    assert "config.yaml is refused: the node starts on the configuration that was accepted" in answer.err
    assert answer.err.startswith("config.yaml")
    assert said.startswith("ALERT ")
    assert run("check").code == 2


def test_finding_o5_a_first_start_on_a_wrong_file_fails(
    run: Run, config: Path, served: list[tuple[InForce, str]]
) -> None:
    """And so does one whose last accepted configuration is another file's, or cannot be read."""
    right = config.read_text()
    config.write_text("node: [")
    assert run("serve", "--allow-root").code == 2
    (config.parent / "data").mkdir()
    other = config.parent / "other.yaml"
    other.write_text(right)
    in_force.write(InForce.of(loading.read(other), NOW, "hong"))
    assert run("serve", "--allow-root").code == 2
    (config.parent / "data" / in_force.FILE).write_text("{")
    assert run("serve", "--allow-root").code == 2
    assert served == []


def test_finding_m11_check_says_which_of_our_certificates_end(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month before, and when it is too late; each with its key. What ends is a warning, what has ended is an
    error."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    signed_by_itself(config.parent, "pacs")
    tls = "tls: {authorities: pacs.pem, certificate: pacs.pem, key: pacs.key}"
    config.write_text(config.read_text().replace("{ae_title: PACS,", f"{{{tls}, ae_title: PACS,"))
    answer = run("check")
    assert answer.code == 0
    ends = re.escape(str(config.parent / "pacs.pem")) + r" ends on \d{4}-\d\d-\d\d, in 29 days: renew it"
    assert re.search(rf"config\.yaml: destinations\.pacs\.tls\.certificate: the certificate {ends}", answer.err)
    [warning] = run("check", "--json").json["warnings"]
    assert warning["yaml_path"] == "destinations.pacs.tls.certificate"
    later = SystemClock().now() + timedelta(days=31)
    monkeypatch.setattr(SystemClock, "now", lambda _: later)
    ended = run("check")
    assert (ended.code, ended.err.count("warning:")) == (2, 0)
    assert "pacs.pem ended on " in ended.err
    said = run("check", "--json").json
    assert (said["ok"], [each["yaml_path"] for each in said["problems"]]) == (
        False,
        ["destinations.pacs.tls.certificate"],
    )


def test_check_says_what_becomes_of_the_queue_of_a_rule_that_is_gone(run: Run, config: Path, ledger: Ledger) -> None:
    """Before it is in force: how many jobs, of which rule, and how they run nevertheless; nothing is changed."""
    with ledger.transaction() as database:
        (job,) = jobs.of_study(database, past.FAILED)
        database.execute("UPDATE jobs SET status='queued', outcome=NULL WHERE id=?", [job.id])
    [warning] = [each for each in run("check", "--json").json["warnings"] if "queued" in each["message"]]
    assert warning["message"].startswith('1 queued job of the rule "thin-chest" will be cancelled, because it is gone')
    assert jobs.get(ledger.database, job.id).status == "queued"
    with ledger.transaction() as database:
        jobs.cancel(database, past.NOW, job.id, "a test")
    assert not [each for each in run("check", "--json").json["warnings"] if "queued" in each["message"]]
