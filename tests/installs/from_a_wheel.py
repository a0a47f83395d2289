"""A day with pacsnode installed from its wheel, where there is no checkout: all commands of an author and of a site.

`make installs` runs it.
"""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support import wheel as wheels
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import storescu
from tests.support.shared_data import ROOT
from tests.support.wait import until

PHANTOM = ROOT / "plugins/lung_density/examples/phantom/images"
SITE = """
node:
  ae_title: PACSNODE
  time_zone: Asia/Seoul
  data: data
  listen: {{host: 127.0.0.1, port: 0}}
  accept: any
  completion: {{quiet: 2s}}
destinations:
  pacs: {{ae_title: PACS, host: 127.0.0.1, port: {port}, identity_check: none}}
rules:
  - {{name: lungs, when: {{Modality: CT}}, choose: {{take: one}}, run: lung-density, send: pacs, mode: pilot}}
"""


@pytest.fixture(scope="module")
def pacsnode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    return wheels.without_a_checkout(wheels.build(ROOT, folder / "built"), folder / "environment") / "pacsnode"


def test_the_source_archive_makes_the_same_wheel(tmp_path: Path) -> None:
    """Byte for byte: it lacks nothing, and building depends on neither day nor folder."""
    built, archive = wheels.build(ROOT, tmp_path / "built"), wheels.build(ROOT, tmp_path / "sdist", "sdist")
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True, timeout=120)
    again = wheels.build(tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path / "wheel")
    assert (again.name, again.read_bytes()) == (built.name, built.read_bytes())


def test_an_author_makes_runs_and_checks_a_plugin(pacsnode: Path, tmp_path: Path) -> None:
    """`plugin list`, `new`, `check`, and `run` of a built-in plugin, whose page is drawn with the wheel's own font."""
    assert "lung-density" in wheels.run(pacsnode, "plugin", "list", folder=tmp_path)
    wheels.run(pacsnode, "plugin", "new", "mine", folder=tmp_path)
    assert "wrong" not in wheels.run(pacsnode, "plugin", "check", "mine", folder=tmp_path).splitlines()[0]
    wheels.run(pacsnode, "plugin", "run", "lung-density", str(PHANTOM), folder=tmp_path)
    made = {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {".dcm", ".png", ".txt"} <= made


def test_the_demonstration_ends_as_the_truth_demands(pacsnode: Path, tmp_path: Path) -> None:
    """The complete morning; exit code 0 says that every row is right."""
    wheels.run(pacsnode, "demo", folder=tmp_path)


def test_a_site_receives_analyses_delivers_and_ends(pacsnode: Path, orthanc: Orthanc, tmp_path: Path) -> None:
    """`serve`, a C-STORE by dcmtk, the result at Orthanc, `explain`, `doctor`, and the end by SIGTERM."""
    (tmp_path / "config.yaml").write_text(SITE.format(port=orthanc.dicom_port))
    with (tmp_path / "log").open("wb") as log:
        node = subprocess.Popen([pacsnode, "serve"], cwd=tmp_path, stdout=log, stderr=log)
    try:
        listening = tmp_path / "data" / "listening.json"
        until(lambda: listening.exists() or node.poll() is not None, what="the node to listen")
        assert node.poll() is None, (tmp_path / "log").read_text()
        sent = storescu(json.loads(listening.read_text())["port"], [PHANTOM], called="PACSNODE", options=("-R", "-xt"))
        assert sent.returncode == 0, sent.stderr
        until(lambda: orthanc.find("Series", Modality="SR"), 900, "the report in the PACS")
        study = orthanc.find("Study")[0]["MainDicomTags"]["StudyInstanceUID"]
        assert "lungs" in wheels.run(pacsnode, "explain", study, folder=tmp_path)
        doctor = subprocess.run([pacsnode, "doctor"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert doctor.returncode in (0, 1), doctor.stderr
        assert "destination pacs" in doctor.stdout
    finally:
        node.send_signal(signal.SIGTERM)
    assert node.wait(120) == 0
