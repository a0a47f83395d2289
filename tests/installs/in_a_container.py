"""The container image, built without a network and run with a root that is read-only; an Orthanc is the PACS.

`make installs` runs it, as root: debootstrap makes the base, and the node's folder belongs to the image's user.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import pacsnode_image as image
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import dcmtk, require_peer, storescu
from tests.support.programs.podman import PodmanStore, podman_store
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
  isolation: {isolation}
  completion: {{quiet: 2s}}
destinations:
  pacs: {{ae_title: PACS, host: 127.0.0.1, port: {port}, identity_check: none}}
rules:
  - {{name: lungs, when: {{Modality: CT}}, choose: {{take: one}}, run: lung-density, send: pacs, mode: pilot}}
"""
COUNT = """
import sqlite3
print(sqlite3.connect("data/ledger.db").execute("SELECT count(*) FROM instances").fetchone()[0])
"""


@pytest.fixture(scope="module")
def podman(request: pytest.FixtureRequest) -> Iterator[PodmanStore]:
    """A store that holds the base alone; its archive is kept beside pytest's cache, as making it takes minutes."""
    require_peer("podman")
    if os.geteuid() != 0:
        pytest.skip("needs root: debootstrap makes the base")
    assert request.config.cache is not None
    base = image.debian(request.config.cache.mkdir("debian"))
    with podman_store("overlay") as store:
        store.call("import", "--quiet", str(base), image.BASE)
        yield store


@pytest.fixture(scope="module")
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert request.config.cache is not None
    wheels = image.wheelhouse(request.config.cache.mkdir("wheels"))
    return image.context(tmp_path_factory.mktemp("source") / "pacsnode", wheels)


@pytest.fixture(scope="module", autouse=True)
def built(podman: PodmanStore, source: Path) -> str:
    return image.build(podman, source)


@pytest.fixture
def site(tmp_path: Path, orthanc: Orthanc) -> Path:
    return made_site(tmp_path / "site", orthanc.dicom_port)


def made_site(folder: Path, port: int, isolation: str = "auto") -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(SITE.format(port=port, isolation=isolation))
    for path in (folder, folder / "config.yaml"):
        os.chown(path, image.UID, image.UID)
    for parent in list(folder.parents)[:3]:  # pytest closes its folders to others, and the node is another user
        parent.chmod(0o755)
    return folder


def port_of(podman: PodmanStore, name: str, site: Path) -> int:
    listening = site / "data" / "listening.json"

    def is_there() -> bool:
        assert podman.call("inspect", "--format", "{{.State.Running}}", name) == "true", podman.call("logs", name)
        return listening.exists()

    until(is_there, what="the node in the container to listen")
    return int(json.loads(listening.read_text())["port"])


def test_a_study_is_analysed_in_a_confined_plugin_and_its_report_reaches_the_pacs(
    podman: PodmanStore, site: Path, orthanc: Orthanc
) -> None:
    """By C-STORE into a container without a capability, as its own user, with nothing but the volume to write to."""
    with image.running(podman, site, "node") as name:
        sent = storescu(port_of(podman, name, site), [PHANTOM], called="PACSNODE", options=("-R", "-xt"))
        assert sent.returncode == 0, sent.stderr
        until(lambda: orthanc.find("Series", Modality="SR"), 900, "the report in the PACS")
        assert json.loads((site / "data/confinement.json").read_text())["isolated"] is True
        said = podman.call(
            "exec", name, "sh", "-c", "id -u; touch /x /opt/x /usr/x 2>&1; pacsnode status --check || [ $? -eq 1 ]"
        )
        assert said.splitlines()[0] == str(image.UID)
        assert said.count("Read-only file system") == 3
        states = podman.call("exec", name, "sh", "-c", "grep -h ^State /proc/[0-9]*/status")
        assert "zombie" not in states
        podman.call("stop", name)
        assert podman.call("inspect", "--format", "{{.State.ExitCode}}", name) == "0"


def test_a_stop_in_the_middle_of_an_association_loses_nothing_that_was_answered(
    podman: PodmanStore, site: Path
) -> None:
    """SIGTERM drains: what was answered with success is a study's image in the next container of the same volume."""
    with image.running(podman, site, "first") as name:
        port = port_of(podman, name, site)
        command = [
            dcmtk("storescu"),
            "-v",
            "-R",
            "-xt",
            "+sd",
            "+r",
            "-aec",
            "PACSNODE",
            "127.0.0.1",
            str(port),
            str(PHANTOM),
        ]
        sending = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert sending.stdout is not None
        heard = [line for line, _ in zip(iter(sending.stdout.readline, ""), range(20), strict=False)]
        podman.call("stop", name)
        heard += sending.stdout.readlines()
        sending.wait(60)
        assert podman.call("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    answered = sum("Received Store Response (Success)" in line for line in heard)
    assert answered > 0, heard
    (site / "data/listening.json").unlink(missing_ok=True)
    with image.running(podman, site, "second") as name:
        port_of(podman, name, site)
        python = ("exec", name, "/opt/pacsnode/bin/python3", "-c", COUNT)
        until(lambda: int(podman.call(*python)) >= answered, what=f"{answered} images in the ledger")


@pytest.mark.parametrize(
    ("options", "isolation", "said"),
    [
        (image.CONFINED, "auto", "isolated: plugins have no network"),
        (image.HARDENED, "auto", "not isolated: plugins can read what the node's user can"),
        (image.CONFINED, "required", "isolation: required asks for more than this machine gives"),
        (image.HARDENED, "required", "isolation: required asks for more than this machine gives"),
    ],
)
def test_the_node_says_how_plugins_are_confined(
    podman: PodmanStore, tmp_path: Path, options: tuple[str, ...], isolation: str, said: str
) -> None:
    """With masks off /proc bubblewrap works; without, the node says so; another user for plugins is not to be had."""
    folder = made_site(tmp_path / "site", 104, isolation)
    arguments = ["--rm", "--pull=never", "--network=none", "--read-only", "--no-healthcheck", *options]
    arguments += [f"--volume={folder}:/var/lib/pacsnode", "--entrypoint=/bin/sh", image.IMAGE]
    shown = podman.call("run", *arguments, "-c", "pacsnode check 2>&1; echo exit $?")
    assert said in shown
    assert shown.endswith("exit 0") == (isolation == "auto")
