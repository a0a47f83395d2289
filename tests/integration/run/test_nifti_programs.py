"""Programs that know NIfTI alone, as the run stage starts them: what they get, how they end, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.config.models import PluginUse
from node.ledger.job import Job, JobInput, JobOutcome, JobStatus, UsedResult
from node.run import catalogue
from node.run.catalogue import Catalogue
from node.run.sandbox import Isolation
from node.run.stage import RunStage
from tests.support.images.receipts import ct, encoded
from tests.support.sites.job_site import STUDY, Site
from tests.support.sites.nifti_site import FILE, environment, nifti_plugin

Start = Callable[..., RunStage]
Settle = Callable[..., Job]
ROWS = 64

SEGMENTER = """
import json, os, sys
from pathlib import Path
import nibabel, numpy
given, out = map(Path, sys.argv[1:3])
image = nibabel.load(given / "image.nii.gz")
mask = (numpy.asarray(image.dataobj) > 3000 - 1024).astype(numpy.uint8)
nibabel.save(nibabel.Nifti1Image(mask, image.affine), out / "seg.nii.gz")
seen = {"in": sorted(str(each.relative_to(given)) for each in given.rglob("*")), "arguments": sys.argv[3:]}
seen |= {"folder": sorted(os.listdir(given.parent)), "sidecar": json.loads((given / "pacsnode.json").read_text())}
print(json.dumps(seen))
"""
EMPTY = """
import sys
from pathlib import Path
import nibabel, numpy
image = nibabel.load(Path(sys.argv[1]) / "image.nii.gz")
made = nibabel.Nifti1Image(numpy.zeros(image.shape, numpy.uint8), image.affine)
nibabel.save(made, Path(sys.argv[2]) / "seg.nii.gz")
"""


def receive(site: Site, series: str = "1", count: int = 4, **changes: Any) -> list[str]:
    """A CT series of slices that are 1 mm apart, indexed; `changes` of the images' attributes."""

    def content(number: int) -> bytes:
        image = ct(number, SpecificCharacterSet="ISO_IR 192", **changes)
        image.StudyInstanceUID, image.SeriesInstanceUID = STUDY, f"{STUDY}.{series}"
        image.SOPInstanceUID, image.FrameOfReferenceUID = f"{STUDY}.{series}.{number}", "1.2.9"
        return encoded(image)

    return site.receive(count, series=series, contents=content, Rows=("US", ROWS), Columns=("US", ROWS))


def kept_labels(site: Site, job: Job) -> np.ndarray:
    folder = site.get(job).result
    assert folder is not None
    (name,) = {site.kept(job)["segmentation"]["labels"]["array"]}
    return np.load(site.data_folder.data / folder / "out" / name)


def printed(site: Site, job: Job) -> dict[str, Any]:
    (line,) = [each for each in site.log(job).splitlines() if each.startswith("{")]
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_script_with_an_environment_of_its_own_segments(
    site: Site, start: Start, settle: Settle, confinement: Isolation, tmp_path: Path
) -> None:
    """It sees the image and the sidecar, neither DICOM nor a name; its mask names the true images, with its volume."""
    own = environment(tmp_path / "environment")
    nifti_plugin(
        site, "own", SEGMENTER, ("{in}", "{out}", "{parameter:level}", "{plugin}", "{x}"), interpreter=str(own)
    )
    receipts = receive(site)
    site.complete()
    job = settle(start(confinement), site.job("own", receipts))
    assert (job.status, job.outcome) == (JobStatus.ENDED, JobOutcome.FINDINGS), job.error
    result, seen = site.kept(job), printed(site, job)
    frames = [each["sop_instance_uid"] for each in result["segmentation"]["frames"]]
    assert frames == [f"{STUDY}.1.{number}" for number in range(1, 5)]
    truth = np.array([(np.arange(4096) + number > 3000).reshape(ROWS, ROWS) for number in range(1, 5)])
    assert np.array_equal(kept_labels(site, job), truth)
    (measurement,) = result["findings"][0]["measurements"]
    assert measurement["value"] == pytest.approx(truth.sum() * 0.7 * 0.7 / 1000)
    assert seen["in"] == ["image.nii.gz", "pacsnode.json"]
    assert {"in", "out", "scratch"} <= set(seen["folder"])
    assert not {"dicom", "request.json"} & set(seen["folder"])
    assert seen["arguments"] == ["5", str(site.uses["own"].folder), "{x}"]
    (image,) = seen["sidecar"]["images"]
    assert (image["spacing_mm"], image["shape"], image["units"]) == ([0.7, 0.7, 1.0], [64, 64, 4], "HU")
    assert seen["sidecar"]["parameters"] == {"level": 5}
    text = json.dumps(seen["sidecar"])
    assert "Gildong" not in text
    assert seen["sidecar"]["study"]["study_instance_uid"] != STUDY
    assert not (site.data_folder.work / job.id).exists()


TAKER = """
import json, shutil, sys
from pathlib import Path
given, out = map(Path, sys.argv[1:3])
shutil.copy(given / "first.nii.gz", out / "seg.nii.gz")
print(json.dumps(json.loads((given / "pacsnode.json").read_text())))
"""
MASK = f'{FILE}[[nifti.masks]]\nresult = "first"\n'


def test_the_mask_of_an_earlier_step_is_a_file_on_the_grid_of_the_images(
    site: Site, start: Start, settle: Settle
) -> None:
    """Voxel for voxel, under pseudonyms; the sidecar says what its labels are. Without it the step fails by name."""
    nifti_plugin(site, "first", SEGMENTER)
    nifti_plugin(site, "second", TAKER, inputs=MASK, attempts=1)
    receipts = receive(site)
    site.complete()
    stage = start()
    first = settle(stage, site.job("first", receipts))
    uses = (UsedResult("first", first.id, "digest"),)
    second = settle(stage, site.job("second", receipts, uses=uses))
    assert (second.status, second.outcome) == (JobStatus.ENDED, JobOutcome.FINDINGS), second.error
    assert np.array_equal(kept_labels(site, second), kept_labels(site, first))
    assert kept_labels(site, second).any()
    assert printed(site, second)["masks"] == [{"file": "first.nii.gz", "result": "first", "labels": {"1": "Thing"}}]
    alone = settle(stage, site.job("second", receipts, rule="alone"))
    assert alone.outcome is JobOutcome.FAILED
    assert "[[nifti.masks]] of the manifest reads first: they differ by first" in str(alone.error)


def test_the_code_of_an_environment_elsewhere_is_part_of_what_ran(
    site: Site, start: Start, settle: Settle, tmp_path: Path
) -> None:
    """A package that is installed there later is another device."""
    own = environment(tmp_path / "environment")
    nifti_plugin(site, "own", EMPTY, interpreter=str(own))
    receipts = receive(site)
    site.complete()
    digests = []
    for rule in ("one", "two"):
        settle(start(), job := site.job("own", receipts, rule=rule))
        rows = site.ledger.database.execute("SELECT algorithm FROM attempts WHERE job=?", [job.id]).fetchone()
        digests.append(json.loads(rows[0])["software_digest"])
        (packages,) = (tmp_path / "environment").glob("lib/python*/site-packages")
        (packages / "mended-1.0.dist-info").mkdir(exist_ok=True)
        (packages / "mended-1.0.dist-info" / "RECORD").write_text("mended.py,sha256=x,1\n")
    assert digests[0] != digests[1]


ENDS = [
    (
        "import sys; sys.exit(3)",
        JobOutcome.NOT_APPLICABLE,
        "The program says that these images are not what it is for.",
    ),
    ("import sys; sys.exit(4)", JobOutcome.FAILED, "exit status 4"),
    ("pass", JobOutcome.FAILED, "out/seg.nii.gz: is missing: the program did not write it"),
    (
        "import sys, pathlib; pathlib.Path(sys.argv[2], 'seg.nii.gz').symlink_to('/etc/passwd')",
        JobOutcome.FAILED,
        "out/seg.nii.gz: cannot be read: it is a link",
    ),
    (EMPTY, JobOutcome.NOT_APPLICABLE, "This does not say that there is none."),
]


@pytest.mark.parametrize(("script", "outcome", "words"), ENDS, ids=["3", "4", "nothing", "link", "empty"])
def test_how_a_program_ends_is_said(
    site: Site, start: Start, settle: Settle, script: str, outcome: JobOutcome, words: str
) -> None:
    """The exit code of the manifest is not applicable; all else that is no mask is a failure, with the file."""
    nifti_plugin(site, "ends", script, attempts=1)
    receipts = receive(site)
    site.complete()
    job = settle(start(), site.job("ends", receipts))
    assert job.outcome is outcome
    assert words in (f"{job.error}" if outcome is JobOutcome.FAILED else site.kept(job)["summary"])


def test_images_that_are_no_volume_are_not_applicable_without_a_start(site: Site, start: Start, settle: Settle) -> None:
    """The reason of the volume, for the radiologist; the program never ran."""
    nifti_plugin(site, "never", "print('it ran')")
    receipts = receive(site, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    site.complete()
    job = settle(start(), site.job("never", receipts))
    assert (job.status, job.outcome) == (JobStatus.ENDED, JobOutcome.NOT_APPLICABLE)
    assert "localizer" in site.kept(job)["summary"]
    assert not (site.data_folder.results / job.id / "log.txt").exists()


ROLES = (
    FILE.replace('"image.nii.gz"', '"t1.nii.gz"\nrole = "t1"') + '[[nifti.inputs]]\nrole = "prior"\noptional = true\n'
)
TWO = """
import sys
from pathlib import Path
import nibabel, numpy
image = nibabel.load(sys.argv[3])
mask = numpy.asarray(image.dataobj) > 2000
if Path(sys.argv[4]).exists():
    mask &= numpy.asarray(nibabel.load(sys.argv[4]).dataobj) > 2500
nibabel.save(nibabel.Nifti1Image(mask.astype(numpy.uint8), image.affine), Path(sys.argv[2]) / "seg.nii.gz")
"""


@pytest.mark.parametrize("with_prior", [True, False])
def test_each_role_is_a_file(site: Site, start: Start, settle: Settle, with_prior: bool) -> None:
    """By placeholders of the command line; an optional one may be missing. The mask lies on the first."""
    nifti_plugin(site, "roles", TWO, ("{in}", "{out}", "{role:t1}", "{role:prior}"), inputs=ROLES)
    series = {"t1": receive(site, "1"), "prior": receive(site, "2")} if with_prior else {"t1": receive(site, "1")}
    site.complete()
    chosen = tuple(
        JobInput(role, f"{STUDY}.{number}", tuple(receipts))
        for number, (role, receipts) in enumerate(series.items(), start=1)
    )
    job = settle(start(), site.job("roles", [], inputs=chosen))
    assert job.outcome is JobOutcome.FINDINGS, job.error
    values = np.arange(4096) - 1024
    truth = [values + number > 2000 for number in range(1, 5)]
    if with_prior:  # its slices are numbered 5 to 8
        truth = [one & (values + number > 2500) for number, one in enumerate(truth, start=5)]
    assert np.array_equal(kept_labels(site, job), np.array(truth).reshape(4, ROWS, ROWS))
    assert site.kept(job)["segmentation"]["frames"][0]["sop_instance_uid"] == f"{STUDY}.1.1"


def test_series_that_the_manifest_does_not_expect_are_refused(site: Site, start: Start, settle: Settle) -> None:
    """A role that no file is made of, and a series without the role that one is made of."""
    nifti_plugin(site, "roles", TWO, inputs=ROLES, attempts=1)
    receipts = receive(site)
    site.complete()
    for role, words in (
        ("", "0 of the series that the rule gives have the role 't1', expected one, for in/t1.nii.gz"),
        ("flair", "0 of the series that the rule gives have the role 't1'"),
    ):
        chosen = (JobInput(role, f"{STUDY}.1", tuple(receipts)),)
        job = settle(start(), site.job("roles", [], inputs=chosen, rule=f"rule {role}"))
        assert job.outcome is JobOutcome.FAILED
        assert words in str(job.error)


def test_a_table_called_result_json_does_not_end_the_program(
    site: Site, start: Start, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name means something in another exchange: here the program is done when it ends, however long that takes."""
    goes_on = "Path(sys.argv[2], 'result.json').write_text('{}')\nimport time\ntime.sleep(3)\nprint('{\"done\": 1}')\n"
    nifti_plugin(site, "slow", EMPTY + goes_on)
    load = catalogue.load

    def impatient(*given: Any, **more: Any) -> Catalogue:
        """Programs that go on after their result have 0.2 s."""
        found = load(*given, **more)
        limits = {name: replace(each.limits, grace_seconds=0.2) for name, each in found.plugins.items()}
        return replace(
            found, plugins={name: replace(each, limits=limits[name]) for name, each in found.plugins.items()}
        )

    monkeypatch.setattr(catalogue, "load", impatient)
    receipts = receive(site)
    site.complete()
    job = settle(start(), site.job("slow", receipts))
    assert (job.outcome, printed(site, job)) == (JobOutcome.NOT_APPLICABLE, {"done": 1})
    assert "ignored in out/, as the result does not name it: result.json" in site.log(job)


def test_a_program_that_does_not_end_leaves_no_result(site: Site, start: Start, settle: Settle) -> None:
    """A mask that is there at the deadline may be half of all: it is not taken."""
    nifti_plugin(site, "hangs", EMPTY + "import time\ntime.sleep(3600)\n", deadline="3s", attempts=1)
    receipts = receive(site)
    site.complete()
    job = settle(start(), site.job("hangs", receipts))
    assert job.outcome is JobOutcome.FAILED
    assert "deadline" in str(job.error)


def test_a_plugin_whose_environment_is_broken_is_found_when_the_configuration_is_read(
    site: Site, tmp_path: Path
) -> None:
    """The interpreter of its environment does not run."""
    own = environment(tmp_path / "environment")
    folder = nifti_plugin(site, "broken", EMPTY, interpreter=str(own))
    own.unlink()
    own.write_text("#!/bin/sh\nexit 9\n")
    own.chmod(0o755)
    site.uses["broken"] = PluginUse(folder=folder)
    assert "runtime.command: " in site.catalogue().problems["broken"]
