"""plugin.toml: what is right is read, what is wrong is refused with file, line and key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plugins import manifest
from plugins.contract import Code, Finding, Measurement, Picture, Result, ResultStatus, Unit
from plugins.manifest import Output, ParameterError
from plugins.manifest_table import ManifestError
from plugins.resources import Resources
from plugins.runtime import RuntimeKind

GOOD = """\
schema = 1
outputs = ["findings"]

[identity]
name = "Nodules"
version = "2.1"
manufacturer = "Vendor"
intended_use = "Finds nodules."
weights = ["weights/*.bin"]

[runtime]
kind = "python"
entry = "nodules.main:Finder"
deadline_seconds = 120

[[concepts]]
value = "27925004"
scheme = "SCT"
meaning = "Nodule"

[[concepts]]
value = "81827009"
scheme = "SCT"
meaning = "Diameter"

[parameters.sensitivity]
default = 0.5
minimum = 0
maximum = 1
description = "Operating point."

[parameters.mode]
default = "fast"
choices = ["fast", "thorough"]
description = "How hard to look."

[parameters.count]
default = 3
description = "How many at most."

[parameters.vessels]
default = false
description = "Whether vessels count."
"""


def write(folder: Path, text: str) -> Path:
    (folder / "weights").mkdir(exist_ok=True)
    (folder / "weights" / "a.bin").write_bytes(b"weights")
    (folder / "plugin.toml").write_text(text)
    return folder


def test_good_manifest(tmp_path):
    """Identity, runtime, outputs, concepts and parameters are read; what is left out has its default."""
    loaded = manifest.load(write(tmp_path, GOOD))
    assert (loaded.identity.name, loaded.identity.version, loaded.identity.udi) == ("Nodules", "2.1", "")
    assert loaded.identity.family == Code("123110", "DCM", "Artificial Intelligence")
    assert loaded.runtime.kind is RuntimeKind.PYTHON
    assert (loaded.runtime.entry, loaded.runtime.deadline_seconds) == ("nodules.main:Finder", 120)
    assert loaded.runtime.loading_seconds == 300
    assert loaded.outputs == (Output.FINDINGS,)
    assert [parameter.name for parameter in loaded.parameters] == ["sensitivity", "mode", "count", "vessels"]


def test_weight_files_are_those_that_match_now(tmp_path):
    """The manifest keeps the patterns: a file that is renamed or added after it was read is among them."""
    loaded = manifest.load(write(tmp_path, GOOD))
    assert (loaded.weights, loaded.identity.weights_digest) == (("weights/*.bin",), "")
    (tmp_path / "weights" / "b.bin").write_bytes(b"more")
    assert [path.name for path in loaded.weight_files()] == ["a.bin", "b.bin"]


def test_resources_are_what_it_says_and_nothing_else(tmp_path):
    """Nothing is said by default: no processors, no memory of its own, no GPU; some memory of a GPU means one."""
    assert manifest.load(write(tmp_path, GOOD)).runtime.resources == Resources()
    more = "[runtime.resources]\ncpus = 2\nmemory_mb = 3\ngpu_memory_mb = 4\n\n[[concepts]]"
    said = manifest.load(write(tmp_path, GOOD.replace("[[concepts]]", more, 1))).runtime.resources
    assert said == Resources(2.0, 3 * 2**20, gpu=False, gpu_memory=4 * 2**20)
    assert (said.needs_gpu, Resources().needs_gpu, Resources(gpu=True).needs_gpu) == (True, False, True)


WRONG = {
    "below zero": (f"{GOOD}\n[runtime.resources]\ncpus = -1", r"plugin.toml:\d+: runtime.resources.cpus: must not be"),
    "not a number": (f"{GOOD}\n[runtime.resources]\ncpus = nan", r"plugin.toml:\d+: runtime.resources.cpus: must not"),
    "a text": (
        f'{GOOD}\n[runtime.resources]\nmemory_mb = "1"',
        r"runtime.resources.memory_mb: expected a whole number",
    ),
    "another resource": (f"{GOOD}\n[runtime.resources]\ncpu = 1", r"runtime.resources.cpu: unknown key, did you mean"),
    "no toml": ("schema = = 1", r"plugin.toml: Invalid .*line 1"),
    "version": (GOOD.replace("schema = 1", "schema = 2"), r"plugin.toml:1: schema: expected 1"),
    "unknown key": (GOOD.replace("manufacturer", "manufactuer"), r"plugin.toml:4: identity.manufacturer: is missing"),
    "misspelt key": (
        GOOD.replace("deadline_seconds", "deadline_second"),
        r"plugin.toml:14: runtime.deadline_second: unknown key, did you mean 'deadline_seconds'\?",
    ),
    "unknown table": (f"{GOOD}\n[runtim]\n", r"plugin.toml:\d+: runtim: unknown key, did you mean 'runtime'\?"),
    "name too long": (
        GOOD.replace('"Nodules"', f'"{"N" * 65}"'),
        r"plugin.toml:5: identity.name: .*1 to 64 characters",
    ),
    "kind": (
        GOOD.replace('"python"', '"pyhton"'),
        r"plugin.toml:12: runtime.kind: 'pyhton' .* did you mean 'python'\?",
    ),
    "entry": (GOOD.replace("main:Finder", "main.Finder"), r"plugin.toml:13: runtime.entry: .* is not module:Class"),
    "deadline": (GOOD.replace("= 120", "= 0"), r"plugin.toml:14: runtime.deadline_seconds: must be above zero"),
    "deadline above all": (
        GOOD.replace("= 120", f"= {10**20}"),
        r"plugin.toml:14: runtime.deadline_seconds: must not be above 10000000",
    ),
    "a bound that is no number": (
        GOOD.replace("maximum = 1", "maximum = nan"),
        r"plugin.toml:\d+: parameters.sensitivity.maximum: must not be nan",
    ),
    "a control character": (
        GOOD.replace("main:Finder", "main:Finder\\u0000"),
        r"plugin.toml:13: runtime.entry: has the control character U\+0000",
    ),
    "a control character in a list": (
        GOOD.replace('["findings"]', '["findings\\u001b"]'),
        r"plugin.toml:2: outputs: has the control character U\+001B",
    ),
    "deadline text": (GOOD.replace("= 120", '= "2 min"'), r"plugin.toml:14: .*expected a whole number, got '2 min'"),
    "no weights": (GOOD.replace("*.bin", "*.onnx"), r"plugin.toml:9: identity.weights: .* matches no file"),
    "weights outside": (GOOD.replace("weights/*.bin", "../x"), r"plugin.toml:9: identity.weights: .* leaves the"),
    "outputs": (GOOD.replace('["findings"]', '["finding"]'), r"plugin.toml:2: outputs: 'finding' is none of"),
    "concept": (
        GOOD.replace('value = "81827009"\nscheme = "SCT"', 'value = "81827009"'),
        r"plugin.toml:\d+: concepts\[1\].scheme: is missing",
    ),
    "default above": (
        GOOD.replace("default = 0.5", "default = 2.5"),
        r"plugin.toml:\d+: parameters.sensitivity.default",
    ),
    "no default": (GOOD.replace("default = 3\n", ""), r"parameters.count.default: is missing"),
    "choice": (GOOD.replace('default = "fast"', 'default = "slow"'), r"parameters.mode.default: .*'slow' is none of"),
    "bounds of a text": (
        GOOD.replace('default = "fast"', 'default = "fast"\nminimum = 1'),
        "parameters.mode.default: only a number has a minimum",
    ),
    "no description": (
        GOOD.replace('description = "How many at most."', ""),
        "parameters.count.description: is missing",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_manifest_is_refused_with_its_place(tmp_path, name):
    """Every mistake names file, line where it can, and key."""
    text, match = WRONG[name]
    with pytest.raises(ManifestError, match=match):
        manifest.load(write(tmp_path, text))


def test_no_manifest(tmp_path):
    """A folder without plugin.toml is no plugin."""
    with pytest.raises(ManifestError, match=r"plugin\.toml: cannot be read"):
        manifest.load(tmp_path)


def test_command_needs_no_entry(tmp_path):
    """A program of any kind is run by its command line."""
    text = GOOD.replace(
        'kind = "python"\nentry = "nodules.main:Finder"', 'kind = "command"\ncommand = ["./run", "{folder}"]'
    )
    runtime = manifest.load(write(tmp_path, text)).runtime
    assert (runtime.kind, runtime.command, runtime.entry) == (RuntimeKind.COMMAND, ("./run", "{folder}"), "")


def test_parameters_are_completed_and_typed(tmp_path):
    """Defaults fill what is not given; a whole number is a number."""
    loaded = manifest.load(write(tmp_path, GOOD))
    assert loaded.parameters_for({}) == {"sensitivity": 0.5, "mode": "fast", "count": 3, "vessels": False}
    given = loaded.parameters_for({"sensitivity": 1, "vessels": True})
    assert given["sensitivity"] == 1.0
    assert isinstance(given["sensitivity"], float)
    assert loaded.identity_with(given).parameters == (
        ("sensitivity", "1"),
        ("mode", "fast"),
        ("count", "3"),
        ("vessels", "true"),
    )


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"sensitivty": 0.5}, "no such parameter, did you mean 'sensitivity'"),
        ({"sensitivity": 1.5}, "'sensitivity': 1.5 is above 1"),
        ({"sensitivity": float("nan")}, "below"),
        ({"sensitivity": "high"}, "expected a number, got 'high'"),
        ({"sensitivity": True}, "expected a number, got True"),
        ({"count": 2.5}, "expected a whole number"),
        ({"count": True}, "expected a whole number"),
        ({"mode": "thorogh"}, "did you mean 'thorough'"),
        ({"vessels": "yes"}, "expected true or false"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path, given, match):
    """Names, types, bounds and choices are held to the manifest."""
    with pytest.raises(ParameterError, match=match):
        manifest.load(write(tmp_path, GOOD)).parameters_for(given)


def test_who_returns_nothing_but_dicom_needs_no_concepts(tmp_path):
    """A module of mercure has no findings of its own: its manifest is complete without codes, and no other one is."""
    text = GOOD[: GOOD.index("[[concepts]]")]
    outputs = next(line for line in text.splitlines() if line.startswith("outputs"))
    assert manifest.load(write(tmp_path, text.replace(outputs, 'outputs = ["dicom"]'))).concepts == ()
    with pytest.raises(ManifestError, match="concepts: is missing"):
        manifest.load(write(tmp_path, text.replace(outputs, 'outputs = ["dicom", "findings"]')))


def test_undeclared_outputs_and_concepts_are_named(tmp_path):
    """A plugin says beforehand what it may return; anything else is reported."""
    loaded = manifest.load(write(tmp_path, GOOD))
    nodule, diameter = (each.code for each in loaded.concepts)
    millimetre = Unit("mm", "millimeter")
    good = Result(
        ResultStatus.FINDINGS, "one", (Finding(nodule, True, measurements=(Measurement(diameter, 4, millimetre),)),)
    )
    assert loaded.undeclared(good) == []
    odd = Result(
        ResultStatus.FINDINGS,
        "one",
        (Finding(Code("1", "SCT", "Mass"), True),),
        pictures=(Picture(np.zeros((2, 2, 3), np.uint8), "x"),),
    )
    problems = " ".join(loaded.undeclared(odd))
    assert "pictures" in problems
    assert "'Mass' (1, SCT)" in problems


BOUNDED = GOOD.replace('meaning = "Diameter"\n', 'meaning = "Diameter"\nunit = "mm"\nminimum = 1\nmaximum = 80.5\n')


@pytest.mark.parametrize(
    ("value", "unit", "problem"),
    [
        (1, "mm", ""),
        (80.5, "mm", ""),
        (0.5, "mm", "'Diameter' is 0.5 mm, below the minimum of 1"),
        (81, "mm", "'Diameter' is 81 mm, above the maximum of 80.5"),
        (4, "cm", "'Diameter' has the unit 'cm', expected 'mm'"),
    ],
)
def test_finding_r14_a_number_outside_of_what_its_concept_declares_is_refused(tmp_path, value, unit, problem):
    """Unit, minimum and maximum of `[[concepts]]` bind every number of that code."""
    loaded = manifest.load(write(tmp_path, BOUNDED))
    nodule, diameter = (each.code for each in loaded.concepts)
    numbers = (Measurement(diameter, value, Unit(unit, unit)),)
    found = " ".join(
        loaded.undeclared(Result(ResultStatus.FINDINGS, "x", (Finding(nodule, True, measurements=numbers),)))
    )
    assert problem in found
    assert bool(found) is bool(problem)


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ('unit = "millimetres"', r"plugin.toml:\d+: concepts\[1\].unit: 'millimetres' is not a UCUM unit"),
        ("minimum = 1", r"concepts\[1\].minimum: a bound needs its unit"),
        ('unit = "mm"\nminimum = 2\nmaximum = 1', r"concepts\[1\].maximum: 1 is below the minimum, 2"),
        ('unit = "mm"\nminimum = nan', r"concepts\[1\].minimum: must not be nan"),
    ],
)
def test_bounds_that_cannot_be_meant_are_refused_with_their_line(tmp_path, lines, match):
    """A slip in unit or bounds is found when the manifest is read."""
    with pytest.raises(ManifestError, match=match):
        manifest.load(write(tmp_path, GOOD.replace('meaning = "Diameter"\n', f'meaning = "Diameter"\n{lines}\n')))


def test_a_code_that_is_listed_twice_is_refused(tmp_path):
    """Two meanings, or two ranges, of one code: which of them holds?"""
    twice = GOOD.replace('value = "81827009"', 'value = "27925004"')
    with pytest.raises(ManifestError, match=r"concepts\[1\].value: \(27925004, SCT\) is listed twice"):
        manifest.load(write(tmp_path, twice))
