"""`plugin new` makes plugins that are right; `plugin run` and `plugin check` say so, and say what is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from node.errors import UsageError
from node.kit import checking, chosen, examples, running, writing, wrong_inputs
from node.kit.receiving import GivenImages, files_of
from node.kit.small_node import kit_configuration, small_node
from node.kit.writing import EXAMPLE_IMAGES, PluginPurpose
from plugins import testing
from plugins.contract import NotApplicableError
from plugins.exchanges import ExchangeForm
from plugins.runtime import RuntimeKind
from tests.support.shared_data import ROOT

_WRONG = dict.fromkeys(PluginPurpose, 7) | {PluginPurpose.PROJECTION: 4}
"""Wrong inputs that can be made of the example."""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> dict[PluginPurpose, Path]:
    """A Python plugin for each purpose."""
    base = tmp_path_factory.mktemp("new")
    for purpose in PluginPurpose:
        writing.write(base / f"my_{purpose}", RuntimeKind.PYTHON, purpose)
    return {purpose: base / f"my_{purpose}" for purpose in PluginPurpose}


@pytest.mark.parametrize("purpose", PluginPurpose)
def test_a_new_plugin_says_of_its_example_what_is_known(
    plugins: dict[PluginPurpose, Path], purpose: PluginPurpose
) -> None:
    """The numbers of expected.toml follow from how the images were made."""
    (example,) = examples.load(plugins[purpose])
    result = testing.analyse(plugins[purpose], example.images.files)
    assert list(examples.differences(example.expected, result)) == []


@pytest.mark.parametrize("purpose", PluginPurpose)
def test_a_new_plugin_refuses_what_it_is_not_for(
    plugins: dict[PluginPurpose, Path], purpose: PluginPurpose, tmp_path: Path
) -> None:
    """Localizer, other modality, one slice, no pixels, odd bits, colour: each with a reason, none with findings."""
    (example,) = examples.load(plugins[purpose])
    made = wrong_inputs.of(example.images.files, tmp_path)
    uids = [str(pydicom.dcmread(file).SOPInstanceUID) for wrong in made for file in wrong.files]
    assert len(set(uids)) == len(uids), "one would be taken for another that came again"
    assert len(made) == _WRONG[purpose]
    for wrong in made:
        with pytest.raises(NotApplicableError):
            testing.analyse(plugins[purpose], wrong.files)


def test_the_templates_hold_to_the_style_of_the_house(plugins: dict[PluginPurpose, Path]) -> None:
    """What an author begins with is formatted, typed and without a lint."""
    folders = [str(folder) for folder in plugins.values()]
    modules = [str(each) for folder in plugins.values() for each in folder.glob("*.py")]
    for command in (
        ["ruff", "check", "--config", "pyproject.toml", *folders],
        ["ruff", "format", "--check", "--config", "pyproject.toml", *folders],
        ["mypy", "--strict", "--follow-imports=silent", *modules],
    ):
        ended = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr


_NIGHT = pytest.mark.at_night("the purpose segmentation, and a Python plugin of each purpose")


@pytest.mark.parametrize(
    "purpose",
    [each if each is PluginPurpose.SEGMENTATION else pytest.param(each, marks=_NIGHT) for each in PluginPurpose],
)
def test_a_program_in_any_language_passes_the_check(tmp_path: Path, purpose: PluginPurpose) -> None:
    """Every line of `plugin check`, for each purpose, through real processes of the node's confinement."""
    folder = tmp_path / "my-program"
    writing.write(folder, RuntimeKind.COMMAND, purpose)
    found = list(checking.check(chosen.choose(str(folder), None)))
    assert [each.what for each in found if not each.passed] == []
    assert {"manifest", "start", "example known", "determinism", "time", "memory", "encoding"} <= {
        each.what for each in found
    }
    wrong = [each for each in found if each.what.startswith("wrong input")]
    assert (len(wrong), [each.detail for each in wrong if each.warning]) == (_WRONG[purpose], [])
    style = ["ruff", "check", "--config", "pyproject.toml", "--ignore", "ALL", "--select", "E,F,I"]
    for command in (style, ["ruff", "format", "--check", "--config", "pyproject.toml"]):
        (folder / "analyse.py").write_bytes((folder / "analyse").read_bytes())
        ended = subprocess.run(
            [sys.executable, "-m", *command, str(folder / "analyse.py")], cwd=ROOT, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_program_that_knows_nifti_alone_passes_the_check(tmp_path: Path) -> None:
    """The script that `--exchange nifti` writes: every line of `plugin check`, and the style of the house."""
    folder = tmp_path / "my-nifti"
    writing.write(folder, RuntimeKind.COMMAND, PluginPurpose.SEGMENTATION, ExchangeForm.NIFTI)
    found = list(checking.check(chosen.choose(str(folder), None)))
    assert [(each.what, each.detail) for each in found if not each.passed] == []
    wrong = [each for each in found if each.what.startswith("wrong input")]
    assert (len(wrong), [each.detail for each in wrong if each.warning]) == (7, [])
    for command in (["ruff", "check", "--ignore", "ALL", "--select", "E,F,I"], ["ruff", "format", "--check"]):
        ended = subprocess.run(
            [sys.executable, "-m", *command, "--config", "pyproject.toml", str(folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_nifti_is_for_programs_that_segment(tmp_path: Path) -> None:
    """A Python class has volumes; nothing is written."""
    with pytest.raises(UsageError, match="NIfTI is for --kind command and --for segmentation"):
        writing.write(tmp_path / "mine", RuntimeKind.PYTHON, PluginPurpose.SEGMENTATION, ExchangeForm.NIFTI)
    assert not (tmp_path / "mine").exists()


def test_a_check_names_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another number than expected, another one each time, a process that stays, and findings on one slice."""
    folder = tmp_path / "my_bad"
    writing.write(folder, RuntimeKind.PYTHON, PluginPurpose.VOLUME)
    source = (folder / "my_bad.py").read_text()
    starts_one = (
        "import subprocess, time\n        subprocess.Popen(['setsid', 'sleep', '30.5'])\n        time.sleep(0.3)\n"
    )
    bad = source.replace("millilitres = voxels", f"{starts_one}        millilitres = 1 + time.monotonic() % 1 + voxels")
    bad = bad.replace("if len(volume.array) < 3:", "if False:")
    (folder / "my_bad.py").write_text(bad)
    make = wrong_inputs.of
    one_of_them = "one slice"
    monkeypatch.setattr(wrong_inputs, "of", lambda *given: [each for each in make(*given) if each.name == one_of_them])
    found = list(checking.check(chosen.choose(str(folder), None)))
    wrong = {each.what: each.detail for each in found if not each.passed}
    assert [each.detail for each in found if each.what == "processes"] == ["left running, and ended: sleep"]
    assert wrong.keys() == {"example known", "determinism", "wrong input: one slice"}
    assert "BRIGHT 118565006: " in wrong["example known"]
    assert "expected 32.4 ± 0.1" in wrong["example known"]


def test_a_run_gives_what_would_be_sent(plugins: dict[PluginPurpose, Path], tmp_path: Path) -> None:
    """Report, pages with their pictures, segmentation, and the text of the report; the age that was given arrives."""
    folder = plugins[PluginPurpose.SEGMENTATION]
    source = folder / "my_segmentation.py"
    source.write_text(source.read_text().replace("The bright region has", "At {study.patient_age:.0f} years it has"))
    given = GivenImages(files_of([folder / EXAMPLE_IMAGES]), age=33)
    answer = running.run(chosen.choose(str(folder), None), given, {"threshold": -100.0}, tmp_path / "out")
    assert answer.worked, answer
    assert answer.says[0] == "findings: At 33 years it has 32.4 mL."
    assert "segment 1: Bright region, 4800 voxels" in answer.says
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"sr-001.dcm", "seg-001.dcm", "sc-001.dcm", "sc-001.png", "report.txt", "log.txt"} <= names
    assert "32.4 mL" in (tmp_path / "out" / "report.txt").read_text()


def test_a_run_that_fails_names_the_authors_line(tmp_path: Path) -> None:
    """For the author; what readers get is in plain words, without a name of an exception."""
    folder = tmp_path / "my_slip"
    writing.write(folder, RuntimeKind.PYTHON, PluginPurpose.VOLUME)
    source = folder / "my_slip.py"
    source.write_text(source.read_text().replace("voxels * volume.voxel_volume", "voxels * volume.voxelvolume"))
    line = next(n for n, text in enumerate(source.read_text().splitlines(), 1) if "voxelvolume" in text)
    given = GivenImages(files_of([folder / EXAMPLE_IMAGES]))
    answer = running.run(chosen.choose(str(folder), None), given, {}, tmp_path / "out")
    assert not answer.worked
    assert f"AttributeError, my_slip.py line {line}" in answer.error
    assert "voxelvolume" in answer.log
    assert not any("Attribute" in text for text in (*answer.report, *answer.says))


def test_images_of_two_studies_and_of_none_are_refused(plugins: dict[PluginPurpose, Path], tmp_path: Path) -> None:
    """A plugin gets the images of one study."""
    both = [plugins[purpose] / EXAMPLE_IMAGES for purpose in (PluginPurpose.VOLUME, PluginPurpose.PROJECTION)]
    (tmp_path / "text").write_text("hello")
    with small_node(kit_configuration()) as node:
        with pytest.raises(UsageError, match="no DICOM image was found"):
            node.receive([tmp_path / "text"])
        with pytest.raises(UsageError, match="are of 2 studies"):
            node.receive(files_of(both))


@pytest.mark.parametrize("name", ["Bad Name", "3d", "class", "plugins"])
def test_a_name_that_cannot_be_a_module_is_refused(tmp_path: Path, name: str) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match="a plugin's name has small letters"):
        writing.write(tmp_path / name, RuntimeKind.PYTHON, PluginPurpose.VOLUME)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """A slip in a name must not cost an author's work."""
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        writing.write(tmp_path / "mine", RuntimeKind.PYTHON, PluginPurpose.VOLUME)


EXPECTATIONS = {
    'status = "findings"\n[[numbers]]\nvalue = 1\ntolerance = 0': "name a segment, or a finding and its measurement",
    'status = "fine"': "status: ",
    'status = "findings"\nstatsu = 1': "statsu: ",
    'status = "findings"\n[roles]\nprior = "nowhere"': "roles.prior: there is no folder nowhere",
    "status = ": "expected.toml: ",
}


@pytest.mark.parametrize("text", EXPECTATIONS)
def test_a_mistake_in_an_expectation_is_named(tmp_path: Path, text: str) -> None:
    """File and key: an example that says nothing must not pass."""
    folder = tmp_path / "examples" / "one"
    folder.mkdir(parents=True)
    (folder / "expected.toml").write_text(text)
    with pytest.raises(examples.ExampleError, match=EXPECTATIONS[text]):
        examples.load(tmp_path)


@pytest.mark.parametrize("confinement", ["off", "auto"])
def test_processes_that_a_program_leaves_running_are_named(
    tmp_path: Path, confinement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sandbox and in none, whether they are its children or got away; one that leaves none is not warned of."""
    monkeypatch.setattr(wrong_inputs, "of", lambda *_: [])  # nine more processes, of which nothing is claimed here
    folder = tmp_path / "leaves"
    writing.write(folder, RuntimeKind.COMMAND, PluginPurpose.SCORE)
    program = folder / "analyse"
    program.rename(folder / "program.py")
    configuration = kit_configuration()
    settings = configuration.node.model_copy(update={"isolation": confinement})
    choice = chosen.choose(str(folder), configuration.model_copy(update={"node": settings}))

    def found() -> tuple[bool, str]:
        (finding,) = [each for each in checking.check(choice) if each.what == "processes"]
        return finding.warning, finding.detail

    program.write_text('#!/bin/sh\nsleep 100 &\n(setsid sleep 200 &)\npython3 "${0%/*}/program.py" "$1"\n')
    program.chmod(0o755)
    assert found() == (True, "left running, and ended: sleep, sleep")
    program.write_text('#!/bin/sh\nsleep 0.1 & wait\nexec python3 "${0%/*}/program.py" "$1"\n')
    assert found() == (False, "")
