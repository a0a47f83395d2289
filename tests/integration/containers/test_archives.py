"""Images that come as archives: what is whole is loaded, what is damaged is not, and the digest stays what it was."""

from __future__ import annotations

import random
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.cli.commands import app
from node.kit import loading
from node.run.containers import archives
from node.run.containers.archives import ArchiveError
from tests.support.programs.podman import PodmanStore, podman_store
from tests.support.sites.job_site import MANIFEST

FORMS = ("oci-archive", "docker-archive")


@pytest.fixture(params=FORMS)
def archive(request: pytest.FixtureRequest, podman: PodmanStore, tmp_path: Path) -> Path:
    path = tmp_path / "image.tar"
    podman.call("save", "--format", request.param, "--output", str(path), podman.shell)
    return path


def test_an_image_has_the_same_digest_on_another_machine(
    archive: Path, podman: PodmanStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In either form: what the author's podman calls it is what the site's podman loads."""
    with podman_store() as other:
        for name, value in other.variables.items():
            monkeypatch.setenv(name, value)
        first, again = loading.load(archive, "podman"), loading.load(archive, "podman")
        there = other.call("images", "--quiet", "--no-trunc").split()
    assert (first.id, first.was_here, again.was_here) == (podman.shell, False, True)
    assert there == [podman.shell]


def test_a_flipped_byte_is_refused_wherever_it_counts(archive: Path) -> None:
    """Whichever byte it is: the image is the one that it was, or the archive is refused."""
    whole, digest, places = archive.read_bytes(), archives.check(archive), random.Random(7)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[places.randrange(len(whole))] ^= 1 << places.randrange(8)
        archive.write_bytes(damaged)
        said = _said(archive)
        assert said == digest or said.startswith(f"{archive}: ")
        refused += said != digest
    assert refused > 40, "nearly all of an archive are layers"


def _said(archive: Path) -> str:
    """The digest of its image, or why it is refused."""
    try:
        return archives.check(archive)
    except ArchiveError as error:
        return str(error)


def test_a_damaged_layer_is_refused_also_where_the_engine_has_it(archive: Path, podman: PodmanStore) -> None:
    """podman itself looks only at layers that it does not have."""
    content = bytearray(archive.read_bytes())
    with tarfile.open(archive) as members:
        largest = max(members.getmembers(), key=lambda member: member.size)
    content[largest.offset_data + largest.size // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="is not what its digest says"):
        loading.load(archive, "podman")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\0" * 10240])
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    """An empty file, another one, an archive with nothing in it."""
    path = tmp_path / "image.tar"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="archive of an image"):
        archives.check(path)


def test_the_command_prints_the_line_that_pins_the_image(archive: Path, podman: PodmanStore, tmp_path: Path) -> None:
    """And refuses an archive with another image than a plugin pins."""
    done = CliRunner().invoke(app, ["plugin", "load", str(archive)])
    assert done.exit_code == 0, done.output
    assert f'image = "{podman.shell}"' in done.output
    other = podman.image("other", {"etc/other": "x"})
    runtime = f'kind = "container"\nimage = "{other}"'
    (tmp_path / "plugin.toml").write_text(MANIFEST.format(name="x", identity="full", runtime=runtime))
    done = CliRunner().invoke(app, ["plugin", "load", str(archive), "--plugin", str(tmp_path)])
    assert done.exit_code != 0
    assert f"pins {other}" in str(done.exception)
