"""The author's harness runs a plugin as the node would and prints what a person wants to know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plugins import manifest, testing
from plugins.contract import ResultStatus
from plugins.phantom import Chest
from plugins.phantom_series import SeriesHeader, write_series
from plugins.testing import HarnessError

LUNG_DENSITY = Path(manifest.__file__).parent / "lung_density"


def test_lung_density_through_the_worker(chest_files):
    """In a process of its own the result is the same as in this one."""
    outside, inside = testing.run(LUNG_DENSITY, chest_files), testing.analyse(LUNG_DENSITY, chest_files)
    assert outside.status is ResultStatus.FINDINGS
    assert (outside.findings, outside.summary) == (inside.findings, inside.summary)
    shown = "\n".join(testing.lines(outside))
    assert "Lung density (Lung Bilateral)" in shown
    assert "Attenuation Coefficient, Mean: -872 [hnsf'U]" in shown
    assert "segment 1: Right lung" in shown


def test_command_line(chest_files, tmp_path):
    """One command from a folder of DICOM files to findings and pictures."""
    command = [sys.executable, "-m", "plugins.testing", str(LUNG_DENSITY), str(chest_files[0].parent)]
    ended = subprocess.run(
        [*command, "--save", str(tmp_path / "saved"), "maximum_slice_mm=4.5"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("findings: Lung density of both lungs")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "picture-1.png",
        "picture-2.png",
        "segmentation.npy",
    ]
    ended = subprocess.run([*command, "maximum_slice=2"], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, "did you mean 'maximum_slice_mm'" in ended.stderr) == (2, True)


def plugin(folder: Path, body: str) -> Path:
    folder.mkdir()
    (folder / "plugin.toml").write_text(
        'schema = 1\noutputs = ["findings"]\n'
        '[identity]\nname = "T"\nversion = "1"\nmanufacturer = "M"\nintended_use = "U"\n'
        f'[runtime]\nkind = "command"\ncommand = ["{sys.executable}", "-c", {body!r}, "{{folder}}"]\n'
        '[[concepts]]\nvalue = "1"\nscheme = "SCT"\nmeaning = "X"\n'
    )
    return folder


WRITE = "import sys,pathlib; pathlib.Path(sys.argv[1],'out/result.json').write_text('{}')"


@pytest.mark.parametrize(
    ("document", "match"),
    [
        ('{"schema": 1, "status": "failed", "summary": "no luck"}', None),
        ('{"schema": 1, "status": "fine"}', r"its result is refused: out/result.json: \$.status"),
        (
            '{"schema": 1, "status": "findings", "summary": "x", "findings": '
            '[{"code": {"value": "2", "scheme": "SCT", "meaning": "Y"}, "present": true}]}',
            r"its result is refused: it returned 'Y' \(2, SCT\), which plugin.toml does not list",
        ),
    ],
)
def test_program_of_another_language(chest_files, tmp_path, document, match):
    """A command that writes result.json itself is held to the same rules as a Python class."""
    body = WRITE.replace("{}", document.replace('"', "\\x22"))
    folder = plugin(tmp_path / "other", body)
    if match is None:
        assert testing.run(folder, chest_files).summary == "no luck"
    else:
        with pytest.raises(HarnessError, match=match):
            testing.run(folder, chest_files)


def test_process_that_dies(chest_files, tmp_path):
    """An exit code is reported, not guessed at."""
    with pytest.raises(HarnessError, match="ended with 9"):
        testing.run(plugin(tmp_path / "dies", "raise SystemExit(9)"), chest_files)


def test_files_of_two_studies_are_refused(tmp_path):
    """The node hands over one study at a time."""
    small = Chest(extent=(0, 8))
    files = write_series(small, tmp_path / "a") + write_series(small, tmp_path / "b", SeriesHeader(patient_id="P2"))
    with pytest.raises(HarnessError, match="more than one study"):
        testing.run(LUNG_DENSITY, files)


def test_folder_without_images_is_refused(tmp_path):
    """Files that are no DICOM images are passed over; none left is an error."""
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(HarnessError, match="no DICOM images"):
        testing.run(LUNG_DENSITY, [tmp_path / "readme.txt"])
