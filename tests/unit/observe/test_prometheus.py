"""The alert rules and the dashboard that a site gets from `pacsnode metrics`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from node.cli import main

FOLDER = Path(__file__).resolve().parents[3] / "node" / "observe" / "prometheus"
TESTS = Path(__file__).with_name("rules_test.yaml")


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Its answer; skips where it is missing."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("needs promtool (Debian package prometheus)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_every_rule_speaks_and_is_silent_when_it_should(tmp_path: Path) -> None:
    """Rules are tested by Prometheus' own tool, each of them."""
    tests = tmp_path / "tests.yaml"
    tests.write_text(TESTS.read_text().replace("[RULES]", f"[{FOLDER / 'rules.yaml'}]"))
    checked = promtool("check", "rules", str(FOLDER / "rules.yaml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", str(tests))
    assert tested.returncode == 0, tested.stdout + tested.stderr
    rules = set(re.findall(r"- alert: (\w+)", (FOLDER / "rules.yaml").read_text()))
    assert rules == set(re.findall(r"alertname: (\w+)", TESTS.read_text()))


def test_the_command_prints_both_files_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """To be redirected into a file; without saying which, it says what there is."""
    for option, name in (("--rules", "rules.yaml"), ("--dashboard", "dashboard.json")):
        with pytest.raises(SystemExit) as ended:
            main(["metrics", option])
        assert (ended.value.code, capsys.readouterr().out) == (0, (FOLDER / name).read_text())
    with pytest.raises(SystemExit) as ended:
        main(["metrics"])
    assert ended.value.code == 2
    assert "--dashboard or --rules" in capsys.readouterr().err


def test_the_dashboard_has_a_row_for_each_subject() -> None:
    """Panels do not overlap, and each asks about the node that was chosen."""
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    titles = [each["title"] for each in panels if each["type"] == "row"]
    assert titles == ["Overview", "Receive", "Run", "Deliver", "Disk"]
    places = [(x, each["gridPos"]["y"]) for each in panels for x in range(24) if _covers(each["gridPos"], x)]
    assert len(places) == len(set(places))
    assert len({each["id"] for each in panels}) == len(panels)
    queries = [target["expr"] for each in panels for target in each.get("targets", ())]
    assert [query for query in queries if query.count("pacsnode_") > query.count('instance="$instance"')] == []


def _covers(place: dict[str, int], column: int) -> bool:
    return place["x"] <= column < place["x"] + place["w"]
