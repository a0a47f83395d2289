"""A model file runs only with examples that pass: nothing else shows that its input is made rightly."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import helper

from node.config import plugins as configured
from node.config.models import Configuration, PluginUse
from node.kit import checking, chosen, readiness
from node.kit.commissioning import commission
from node.kit.small_node import kit_configuration
from node.ledger import alerts
from node.ledger.alert_kinds import AlertKind
from node.run import starts
from node.run.commissioning import LACKS_EXAMPLES, Commissioner, ExamplesVerdict
from node.run.digests import CodeDigests
from plugins import manifest, starting
from plugins.manifest_table import ManifestError
from plugins.onnx_session import PROVIDERS_VARIABLE
from plugins.runtime import ONNX_ENTRY
from tests.support.models import tiny_models
from tests.support.sites.calls import Run
from tests.support.sites.job_site import NOT_ISOLATED, Site

EXAMPLE = Path(manifest.__file__).parent / "examples" / "onnx_head_bleed"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the worked example."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "model"))


def site_with(folder: Path) -> Configuration:
    return kit_configuration().model_copy(update={"plugins": {"model": PluginUse(folder=folder)}})


def _never(_name: str, _site: Configuration, _stop: threading.Event) -> ExamplesVerdict:
    raise AssertionError("there is nothing to run")


def test_without_examples_its_jobs_wait_and_a_person_is_told(folder: Path, tmp_path: Path) -> None:
    """At every look; the alert is one."""
    shutil.rmtree(folder / "examples")
    site = Site(tmp_path / "site")
    site.uses["model"] = PluginUse(folder=folder)
    commissioner = Commissioner(site.node, CodeDigests(), _never)
    for _ in range(2):
        commissioner.begin_look()
        assert "its examples have not passed" in commissioner.why_held(site.catalogue(NOT_ISOLATED).find("model"))
        assert commissioner.waiting == []
    opened = alerts.open_ones(site.ledger.database, 10)
    assert [each.kind for each in opened] == [AlertKind.PLUGIN_NOT_COMMISSIONED]
    assert LACKS_EXAMPLES in str(opened[0].detail)
    commissioner.close()


def test_without_examples_every_check_refuses_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of its author, that of the site, and the trial, of a folder `examples` with nothing in it, too."""
    monkeypatch.setattr("node.run.starts.problems", lambda _: {})
    shutil.rmtree(folder / "examples")
    choice = chosen.choose("model", site_with(folder))
    last = list(checking.check(choice))[-1]
    assert (last.what, last.passed, last.detail) == ("examples", False, LACKS_EXAMPLES)
    plugin = choice.at(folder.parent / "data")
    assert readiness.problems(site_with(folder), [plugin]) == {"model": LACKS_EXAMPLES}
    (folder / "examples").mkdir()
    assert commission("model", site_with(folder)) == ExamplesVerdict(False, LACKS_EXAMPLES)


def test_the_worked_example_passes_as_jobs_run_it(folder: Path) -> None:
    """Through the stages, in a confined worker that does both; another number would be named."""
    expected = folder / "examples" / "bleed" / "expected.toml"
    expected.write_text(expected.read_text().replace("value = 15.25", "value = 25.25"))
    found = commission("model", site_with(folder))
    assert not found.passed
    (difference,) = found.detail.splitlines()
    assert difference.startswith("bleed: 1386000 118565006: 1")
    assert difference.endswith("expected 25.25 ± 1")


MODELS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "segmentation": (lambda path: tiny_models.bright(path, [1, 1, None, None, None]), 'kind = "segmentation"'),
    "of one size": (lambda path: tiny_models.bright(path, [1, 1, 32, 64, 64]), "size = [32, 64, 64]"),
    "scores": (lambda path: tiny_models.averaged(path, [1, 1, 224, 224]), 'images = "projection"'),
}


@pytest.mark.parametrize(("make", "said"), MODELS.values(), ids=MODELS)
def test_a_new_manifest_is_as_the_model_says(run: Run, tmp_path: Path, make: Callable[[Path], Path], said: str) -> None:
    """It is read without a complaint, and the model is as it says."""
    folder = tmp_path / "mine"
    answer = run("plugin", "new", str(folder), "--model", str(make(tmp_path / "model.onnx")))
    assert answer.code == 0, answer.err
    assert said in (folder / "plugin.toml").read_text()
    assert manifest.load(folder).onnx is not None
    assert starting.problem_of(folder, ONNX_ENTRY) == ""


def test_a_model_with_several_inputs_gets_a_channel_or_a_number_for_each(run: Run, tmp_path: Path) -> None:
    """Images by role, what has fewer axes as a number; it starts as it is."""
    image = [1, 1, None, None, None]
    nodes = [helper.make_node("Sum", ["t1", "flair"], ["both"]), helper.make_node("Mul", ["both", "age"], ["answer"])]
    model = tmp_path / "model.onnx"
    tiny_models.write(model, nodes, {"t1": image, "flair": image, "age": [1]}, {"answer": image})
    answer = run("plugin", "new", str(tmp_path / "mine"), "--model", str(model))
    assert answer.code == 0, answer.err
    made = manifest.load(tmp_path / "mine").onnx
    assert made is not None
    assert made.given.tensors == {"t1": [0], "flair": [1]}
    assert [each.name for each in made.given.scalars] == ["age"]
    assert starting.problem_of(tmp_path / "mine", ONNX_ENTRY) == ""


def test_a_file_that_is_no_model_makes_no_plugin(run: Run, tmp_path: Path) -> None:
    """The reason is said, and nothing is written."""
    (tmp_path / "model.onnx").write_bytes(b"no model")
    answer = run("plugin", "new", str(tmp_path / "mine"), "--model", str(tmp_path / "model.onnx"))
    assert answer.code == 2
    assert "is no model that onnxruntime can run" in answer.err
    assert not (tmp_path / "mine").exists()


# --- providers of the site -------------------------------------------------------------------------

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def test_the_site_says_what_computes_and_check_says_what_is_missing(folder: Path) -> None:
    """In place of the manifest's: another digest, a GPU to be granted, and an error that lists what is there."""
    plugins = site_with(folder).plugins
    own = configured.manifest_of("model", plugins)
    site = site_with(folder).model_copy(update={"plugins": {"model": PluginUse(folder=folder, providers=(CUDA,))}})
    plugin = chosen.choose("model", site).at(folder.parent / "data")
    assert own is not None
    assert CodeDigests().of(own).changed(CodeDigests().of(plugin.manifest)) == "providers"
    assert plugin.resources.needs_gpu
    assert plugin.manifest.runtime.privileges.gpu
    assert not plugin.isolation.privileges.gpu
    (problem,) = starts.problems([plugin]).values()
    assert problem.startswith(f"provider {CUDA} is not in the onnxruntime that is installed; it has ")
    assert CPU in problem


def test_a_site_without_a_gpu_has_a_model_computed_by_the_processor(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the manifest says: it asks for no GPU any more, and starts."""
    text = (folder / "plugin.toml").read_text()
    on_gpu = text.replace("[onnx]\n", f'[onnx]\nproviders = ["{CUDA}"]\n').replace("cpus = ", "gpu = true\ncpus = ")
    (folder / "plugin.toml").write_text(on_gpu)
    runtime = manifest.load(folder).with_providers((CPU,)).runtime
    assert (runtime.resources.needs_gpu, runtime.privileges.gpu) == (False, False)
    assert CUDA in starting.problem_of(folder, ONNX_ENTRY)
    monkeypatch.setenv(PROVIDERS_VARIABLE, CPU)
    assert starting.problem_of(folder, ONNX_ENTRY) == ""


def test_what_uses_no_onnxruntime_has_no_providers() -> None:
    """The built-in plugin that uses it has them; another one is refused by name."""
    uses = {name: PluginUse(providers=(CPU,)) for name in ("brain-tissue", "lung-density")}
    found = configured.manifest_of("brain_tissue", uses)
    assert found is not None
    assert found.runtime.providers == (CPU,)
    with pytest.raises(ManifestError, match="providers: it does not say that it uses onnxruntime"):
        configured.manifest_of("lung-density", uses)
