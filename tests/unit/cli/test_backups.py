"""`backup`, `restore`, `verify` and `restored`: what they say, their exit codes, and what is refused."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.ledger import earlier_results, restorations
from node.ledger.database import FILE, Ledger
from node.ledger.earlier_results import EarlierReport, EarlierResultsStatus, EarlierSeries
from node.ledger.event_kinds import EventKind
from node.store import intact
from tests.support import history
from tests.support.sites.calls import Run
from tests.support.sites.job_site import Site
from tests.support.sites.past import CONFIG, GOOD

SR = EarlierSeries("2.25.1", "SR", "Chest", "20260302120000", (EarlierReport("1.2", "2.25.2"),))


def test_a_backup_is_made_verified_and_restored(run: Run, config: Path, ledger: Ledger, tmp_path: Path) -> None:
    """Each says what it did, and how many files; this site's images are not on its disk, which each says as well."""
    ledger.close()
    made = run("backup", "b", "--config", config)
    assert made.code == 0
    name = next((tmp_path / "b" / "backups").iterdir()).name
    assert made.out.startswith(f"backup {name} is in b: the ledger and ")
    assert "files that the ledger names were not in the data folder, such as store/" in made.out
    checked = run("verify", "--backup", "b")
    assert (checked.code, "all is as it should be" in checked.out) == (0, True)
    restored = run("restore", "b", "new")
    assert (restored.code, restored.err) == (0, "")
    assert restored.out.startswith(f"new is restored from the backup {name}: the ledger and ")
    assert "is not in it" in restored.out
    assert run("restore", "b", "new").code == 1
    assert stat.S_IMODE((tmp_path / "new" / FILE).stat().st_mode) == 0o600
    there = Ledger.existing(tmp_path / "new" / FILE)
    (told,) = history.of_kind(there.database, EventKind.LEDGER_RESTORED)
    assert told.actor.startswith("os:")
    assert run("status", "--json").json["last_backup"]["name"] == name
    assert "the last one" in run("status").out


@pytest.mark.usefixtures("ledger")
def test_verify_says_what_is_wrong_and_fails(run: Run) -> None:
    """In words, and as JSON for scripts: a cron that looks at the exit code sees it."""
    checked = run("verify", "--quick")
    assert checked.code == 1
    assert ": missing" in checked.out
    assert "NOT all is as it should be" in checked.out
    said = run("verify", "--json").json
    assert said["sound"] is False
    assert {each["reason"] for each in said["faults"]} == {"missing"}


@pytest.mark.usefixtures("ledger")
def test_the_folder_and_how_many_are_kept_can_be_said_by_the_configuration(
    run: Run, config: Path, tmp_path: Path
) -> None:
    """`backup: {to, keep}`; a relative folder begins at the file. `status` warns until there is one."""
    config.write_text(f"{CONFIG}backup: {{to: nightly, keep: 1}}\n")
    assert "no backup has been made yet" in run("status").out
    for _ in range(2):
        assert run("backup").code == 0
    assert len([*(tmp_path / "nightly" / "backups").iterdir()]) == 1
    shown = run("status").out
    assert "no backup has been made yet" not in shown
    assert "backups are on the disk of node.data, and are lost with it" in " ".join(shown.split())


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("backup",), 2, "name a folder for the backup, or say backup.to in the configuration"),
        (("backup", "data/b"), 1, "backups cannot be inside the data folder"),
        (("backup", "b", "--keep", "0"), 2, "keep"),
        (("restore", "nowhere", "new"), 1, "nowhere: there is no backup there"),
        (("verify", "--from", "b"), 2, "--from needs --repair"),
        (("verify", "--backup", "b", "--repair"), 2, "--backup goes with --name alone"),
        (("verify", "--name", "x"), 2, "--name with --backup"),
        (("restored", GOOD), 2, "answer with --as-sent or with --send"),
        (("restored", GOOD, "--as-sent", "--send"), 2, "answer with --as-sent or with --send"),
        (("restored", "--send"), 2, "name the study that the answer is about"),
        (("restored", GOOD, "--send"), 1, f"nothing is asked about study {GOOD}"),
    ],
)
def test_a_slip_is_refused(run: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    """With the sentence that says what to do instead."""
    answer = run(*arguments)
    assert answer.code == code
    assert said in answer.err


def test_each_command_that_a_question_prints_answers_it(run: Run, ledger: Ledger) -> None:
    """`restored` lists the question with its answers; what is printed can be typed. `status` counts them."""
    for number, word in enumerate(("--as-sent", "--send")):
        with ledger.transaction() as database:
            at = datetime(2026, 3, 2, 5, number, tzinfo=UTC)
            restorations.begin(database, at, by="os:kim", backup="b", made_at=at)
            earlier_results.asked(database, at, GOOD, "pacs", EarlierResultsStatus.FOUND, [SR])
        assert "destinations may have results of 1 studies from before the restore" in run("status").out
        listed = run("restored")
        assert "pacs has results of ours from before the restore that the ledger does not know: SR Chest" in listed.out
        (command,) = [line.split() for line in listed.out.splitlines() if word in line]
        assert set(run("restored", "--json").json["questions"][0]["answers"]) == {"as-sent", "send"}
        answered = run(*command[1:])
        assert (answered.code, answered.out.startswith("pacs: ")) == (0, True)
        assert run("restored").out.strip() == "nothing is asked"
    told = history.of_kind(ledger.database, EventKind.RESULTS_ANSWERED)
    assert [each.detail["answer"] for each in told] == ["taken_as_sent", "sent_instead"]
    assert all(each.actor.startswith("os:") for each in told)


def test_a_lost_image_is_taken_from_a_backup(run: Run, tmp_path: Path) -> None:
    """`verify --repair --from`: said, and sound afterwards."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    site = Site(tmp_path)
    (receipt, _) = site.receive(2)
    assert run("backup", "b").code == 0
    site.data_folder.find(receipt).unlink()
    mended = run("verify", "--repair", "--from", "b")
    assert (mended.code, f"{receipt}.dcm was taken from the backup" in mended.out) == (0, True)
    assert run("verify").code == 0
    row = site.ledger.database.query("SELECT digest, transfer_syntax_uid FROM instances WHERE receipt=?", [receipt])[0]
    intact.verify(site.data_folder.find(receipt), row["digest"], row["transfer_syntax_uid"])
