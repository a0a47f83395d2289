"""`pacsnode check` finds the plugins that cannot start, before a study does."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.run import starts
from plugins import starting
from tests.support.sites.calls import Run
from tests.support.sites.job_site import NOT_ISOLATED, Site

CANNOT_START = {
    "a package that is not there": ("import no_such_package", "No module named 'no_such_package' ({module}.py line 1)"),
    "a syntax error": ("class Plugin", "SyntaxError: "),
    "no such class": ("x = 1", "has no class 'Plugin'"),
    "no analyse": ("class Plugin: pass", "has no method analyse"),
    "weights that are not there": (
        "class Plugin:\n    def __init__(self): open('/no/weights')\n    def analyse(self, s, p): ...",
        "No such file or directory: '/no/weights' ({module}.py line 2)",
    ),
    "it exits": ("import sys; sys.exit('no licence')", "SystemExit: no licence"),
}


@pytest.mark.parametrize("case", CANNOT_START)
def test_a_plugin_that_cannot_start_says_why_and_in_which_line(tmp_path: Path, case: str) -> None:
    """What importing and making it raises; without images nothing of a patient can be in it."""
    code, says = CANNOT_START[case]
    module = f"cannot_{list(CANNOT_START).index(case)}"
    (tmp_path / f"{module}.py").write_text(code)
    assert says.replace("{module}", module) in starting.problem_of(tmp_path, f"{module}:Plugin")


def test_finding_an_interpreter_without_decoders_names_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not "not applicable" at every compressed study."""
    (tmp_path / "fine_one.py").write_text("class Plugin:\n    def analyse(self, s, p): ...")
    assert starting.problem_of(tmp_path, "fine_one:Plugin") == ""
    lacks = type("Lacks", (), {"is_available": False})
    monkeypatch.setattr("pydicom.pixels.decoders.base.get_decoder", lambda _: lacks)
    problem = starting.problem_of(tmp_path, "fine_one:Plugin")
    assert problem.startswith("its interpreter cannot decode JPEG Baseline, JPEG Extended, JPEG Lossless, JPEG-LS, ")
    assert problem.endswith(": install python-gdcm pyjpegls pylibjpeg pylibjpeg-openjpeg for it")


def test_each_is_started_in_a_process_of_its_own(tmp_path: Path) -> None:
    """One that crashes while it is imported, and one that is right."""
    site = Site(tmp_path)
    site.python_plugin("crashes")
    (tmp_path / "plugins" / "crashes" / "the_plugin.py").write_text("import os\nos.abort()\n")
    site.python_plugin("good")
    known = site.catalogue(NOT_ISOLATED)
    found = starts.problems([known.find("crashes"), known.find("good")])
    assert found == {"crashes": "its process ended while it was imported (signalled 6)"}


def test_check_refuses_a_site_whose_plugin_cannot_start(run: Run, config: Path, tmp_path: Path) -> None:
    """With the place in the configuration and the line of the author's code; exit code 2."""
    site = Site(tmp_path / "site")
    site.python_plugin("lost")
    folder = tmp_path / "site" / "plugins" / "lost"
    (folder / "the_plugin.py").write_text("import no_such_package\n")
    config.write_text(config.read_text() + f"plugins: {{lost: {{folder: {folder}}}}}\n")
    answer = run("check", "--json")
    assert answer.code == 2
    (problem,) = answer.json["problems"]
    assert problem["yaml_path"] == "plugins.lost"
    assert (
        "it cannot start: ModuleNotFoundError: No module named 'no_such_package' (the_plugin.py line 1)"
        in (problem["message"])
    )
