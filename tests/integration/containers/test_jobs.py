"""Jobs whose plugin is a container, under podman: what it gets, who it is, and what becomes of what it leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.config.allowing import PluginGrants
from node.config.models import PluginUse
from node.ledger import attempts, returned_objects
from node.ledger.attempts import AttemptFailureKind
from node.ledger.job import Job, JobOutcome, JobStatus
from node.run.executor import ExitKind
from node.run.stage import RunStage
from tests.integration.run.test_returned import receive
from tests.support.results import foreign
from tests.support.sites.container_room import ContainerRoom
from tests.support.sites.container_site import ANSWERS, ContainerSite
from tests.support.sites.job_site import STUDY
from tests.support.sites.mercure_site import mercure_plugin


def test_a_container_answers_as_any_plugin_does(site: ContainerSite, outcome: Callable[..., Job]) -> None:
    """It reads request.json and the images, and its result is kept; what ran is put down with the image's digest."""
    job = outcome(f"set -e; grep -q patient_sex /job/request.json; ls /job/in/*; cat /job/in/*/*; {ANSWERS}")
    assert (job.status, job.outcome) == (JobStatus.ENDED, JobOutcome.NOT_APPLICABLE), site.log(job)
    assert site.kept(job)["summary"] == "Not for me."
    last = attempts.last_of(site.ledger.database, job.id)
    assert last is not None
    assert (last.kind, last.counted) == ("container", True)
    assert last.code_digest


def test_another_image_is_another_device(site: ContainerSite) -> None:
    """Its digest is part of what runs."""
    one, two = site.podman.shell, site.podman.image("another", {"etc/model": "2"})
    found = []
    for name, image in (("one", one), ("two", two)):
        folder = site.container("it", f'image = "{image}"') if name == "one" else site.folder / "plugins" / "it"
        text = (folder / "plugin.toml").read_text()
        (folder / "plugin.toml").write_text(text.replace(one, image))
        from node.run.digests import CodeDigests
        from plugins import manifest

        found.append(CodeDigests().of(manifest.load(folder)))
    assert found[0].software != found[1].software
    assert found[0].changed(found[1]) == "file plugin.toml"
    assert found[0].parts["image"] == one


def test_what_the_manifest_asks_and_the_site_grants_is_in_the_container(
    site: ContainerSite, outcome: Callable[..., Job], tmp_path: Path
) -> None:
    """A folder that it may read at its own path, a variable, and a secret that nobody sees in a list of processes."""
    models = tmp_path / "models"
    models.mkdir()
    (models / "weights").write_text("learnt")
    secret = tmp_path / "licence"
    secret.write_text("s3cret\n")
    job = outcome(
        f'set -e; [ "$(cat {models}/weights)" = learnt ]; [ "$REGION $LICENCE" = "kr s3cret" ]; '
        f"! echo x >{models}/weights; {ANSWERS}",
        use={
            "allow": {
                "readable": [str(models)],
                "environment": {"REGION": "kr", "LICENCE": {"file": str(secret)}},
            }
        },
        readable=[str(models)],
        _raw='environment = {REGION = "x", LICENCE = {file = "/x"}}',
    )
    assert job.outcome is JobOutcome.NOT_APPLICABLE, site.log(job)


def test_nobody_of_this_machine_is_in_the_container(room: ContainerRoom) -> None:
    """It is neither root nor the node's user, has no capability, no new privileges, and sees only its own processes."""
    done = room.shell(
        "id -u; grep -e CapEff -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status; ls -d /proc/[0-9]* | wc -l; env"
    )
    uid, *lines = done.log.splitlines()
    fields = dict(line.split(":") for line in lines if ":\t" in line)
    assert {key: value.strip() for key, value in fields.items()} == {
        "CapEff": "0" * 16,
        "CapBnd": "0" * 16,
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }
    assert os.geteuid() != 0 or uid not in ("0", str(os.geteuid()))
    variables = {line.partition("=")[0] for line in lines if "=" in line}
    assert not variables & {"CONTAINERS_CONF", "PACSNODE_ATTEMPT", "XDG_RUNTIME_DIR"}
    assert (done.ended.ending, done.ended.code) == (ExitKind.EXITED, 0)


def test_a_program_is_the_user_that_its_manifest_names(room: ContainerRoom) -> None:
    """What it writes is the node's afterwards, whoever wrote it and however it tried to keep it."""
    script = f"id -u; id -g; {ANSWERS}; mkdir -m 0 /job/out/kept; umask 777; echo x >/job/scratch/kept"
    done = room.shell(script, user="4711:4712")
    assert done.log.split() == ["4711", "4712"]
    assert {path.stat().st_uid for path in done.out.parent.rglob("*")} == {os.geteuid()}
    assert (done.out / "result.json").read_text()


def test_an_entry_point_that_is_missing_or_cannot_be_run(room: ContainerRoom) -> None:
    """127 and 126, as shells say it; podman's own words are in the log."""
    for entry, code in (("/none", 127), ("/etc/passwd", 126)):
        image = room.podman.image(f"entry{code}", changes=[f'ENTRYPOINT ["{entry}"]'])
        if code == 126:
            image = room.podman.image("entry126", {"etc/text": "x"}, changes=['ENTRYPOINT ["/etc"]'])
        done = room.job(image)
        assert (done.ended.ending, done.ended.code) == (ExitKind.EXITED, code), done
        assert entry[:4] in done.log
        assert room.podman.left() == []


def test_an_image_that_was_removed_is_no_fault_of_the_plugin(
    site: ContainerSite, start: Callable[..., RunStage], settle: Callable[..., Job]
) -> None:
    """The attempt says so, does not count, and the job waits for another one."""
    image = site.podman.image("gone", {"etc/gone": "x"})
    site.container("gone", f'image = "{image}"')
    receipts = site.receive(1)
    site.complete()
    job, stage = site.job("gone", receipts), start()
    site.podman.call("rmi", "--force", image)
    settled = settle(stage, job)
    last = attempts.last_of(site.ledger.database, job.id)
    assert last is not None
    assert (settled.status, last.failure, last.counted) == (JobStatus.QUEUED, AttemptFailureKind.NODE, False)
    assert "podman could not start the container" in (last.detail or "")
    assert "image not known" in site.log(job)


MODULE = """
set -e
cd $MERCURE_IN_DIR
for each in *.dcm; do cp "$each" "$MERCURE_OUT_DIR/seg#$each"; done
grep -q '"level": 5' task.json
cp task.json $MERCURE_OUT_DIR/task.json
ln -s /etc/passwd $MERCURE_OUT_DIR/link.dcm
mkdir $MERCURE_OUT_DIR/folder.dcm
"""
SAYS = """echo '{"__mercure_notification": {"text": "Two  of\\nthem."}, "more": 1}' >$MERCURE_OUT_DIR/result.json"""


@pytest.mark.parametrize(
    ("script", "status", "summary", "objects"),
    [
        (MODULE, "findings", "The module returned 2 DICOM objects.", 2),
        (f"{MODULE}\n{SAYS}", "findings", "Two of them.", 2),
        (SAYS, "not_applicable", "Two of them.", 0),
        (
            "echo '[1' >$MERCURE_OUT_DIR/result.json; touch $MERCURE_OUT_DIR/a.dcm",
            "findings",
            "The module returned 1 DICOM object.",
            1,
        ),
    ],
)
def test_a_module_of_mercure_finds_and_leaves_what_it_is_used_to(
    room: ContainerRoom, script: str, status: str, summary: str, objects: int
) -> None:
    """Files named by series and instance and task.json in; DICOM files and result.json out. Links are no files."""
    done = room.shell(script, exchange="mercure")
    assert (done.ended.ending, done.ended.code) == (ExitKind.EXITED, 0), done
    result = json.loads((done.out / "result.json").read_text())
    assert (result["status"], result["summary"]) == (status, summary)
    assert [each["file"] for each in result["objects"]] == [
        f"dicom/{number:06}.dcm" for number in range(1, objects + 1)
    ]
    assert all((done.out / each["file"]).is_file() for each in result["objects"])


def test_a_module_of_mercure_that_leaves_nothing_has_failed(room: ContainerRoom) -> None:
    """The log says what is missing."""
    done = room.shell("exit 0", exchange="mercure")
    assert not (done.out / "result.json").exists()
    assert "neither DICOM files nor result.json in MERCURE_OUT_DIR" in done.log


def test_a_module_that_is_tried_again_returns_the_same_objects_under_the_same_uids(
    site: ContainerSite, start: Callable[..., RunStage], settle: Callable[..., Job], tmp_path: Path
) -> None:
    """Of the first attempt, which left its objects and asked for another one, nothing is kept. The UIDs of what is sent
    follow from the job and the objects' own UIDs alone (`test_encoding_again_…`): they are the same.
    """
    made = foreign.capture(StudyInstanceUID=STUDY, PatientID="PID-4711-0815")
    foreign.write(made, tmp_path / "made.dcm")
    folder, busy = site.folder / "plugins" / "module", tmp_path / "models" / "busy"
    folder.parent.mkdir(parents=True, exist_ok=True)
    mercure_plugin(folder, site.podman, made)
    busy.parent.mkdir()
    busy.touch()
    keys = f'command = ["{busy}"]\nreadable = ["{busy.parent}"]\ndeadline_seconds'
    text = (folder / "plugin.toml").read_text()
    (folder / "plugin.toml").write_text(text.replace("deadline_seconds", keys))
    site.uses["module"] = PluginUse(folder=folder, attempts=2, allow=PluginGrants(readable=(busy.parent,)))
    job, stage = site.job("module", receive(site), parameters={"does": "all"}), start()
    first = settle(stage, job)
    assert (first.status, returned_objects.of_job(site.ledger.database, job.id)) == (JobStatus.QUEUED, [])
    busy.unlink()
    site.clock.pass_(minutes=20)  # type: ignore[attr-defined]  # the clock of tests
    second = settle(stage, job, 2)
    assert (second.id, second.outcome) == (job.id, JobOutcome.FINDINGS), site.log(job)
    (row,) = returned_objects.of_job(site.ledger.database, job.id)
    assert (row.sop_instance_uid, row.series_instance_uid) == (made.SOPInstanceUID, made.SeriesInstanceUID)
    assert site.podman.left() == []
