"""The command, called as a shell calls it, on a site with a past."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.cli import main
from node.ledger.database import FILE, Ledger
from tests.support.sites.calls import Answer, Run
from tests.support.sites.past import CONFIG, tell


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Call the command as a shell would, in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("PACSNODE_CONFIG", raising=False)

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A right configuration; its data folder is not there."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def ledger(config: Path) -> Ledger:
    """The site's ledger, with the story that this file tells."""
    data = config.parent / "data"
    data.mkdir()
    made = Ledger(data / FILE)
    with made.transaction() as database:
        tell(database)
    return made
