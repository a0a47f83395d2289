"""What is said of container images before any runs: no engine, no image, another one, limits that nobody holds."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.config.allowing import PluginGrants
from node.config.models import PluginUse
from node.errors import PermanentError
from node.run import attempt, confinement
from node.run.containers import engine, line
from node.run.containers.enclosure import ContainerEnclosure
from node.run.containers.engine import Engine, EngineError, EngineKind
from node.run.containers.order import ContainerOrder
from node.run.executor import AttemptLimits, Exit, ExitKind
from node.run.kinds import container
from node.run.sandbox import Isolation
from plugins import manifest
from plugins.exchanges import ExchangeForm
from plugins.manifest_table import ManifestError
from plugins.privileges import NOTHING
from tests.support.sites.job_site import MANIFEST, NOT_ISOLATED, Site

PIN = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
INFO = "4.3.1|false|v2|[memory pids cpu]"

Played = Callable[..., Path]


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    """Puts a program in place of podman that says this of itself, and has these images by their references."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(shutil, "which", lambda name: str(folder / name) if (folder / name).exists() else None)
    engine.found.cache_clear()

    def play(info: str = INFO, images: dict[str, dict[str, object]] | None = None, name: str = "podman") -> Path:
        known = "".join(
            f"{reference}) echo '{json.dumps([{'Architecture': HERE, **image}])}'; exit 0 ;;\n"
            for reference, image in (images or {}).items()
        )
        program = folder / name
        program.write_text(
            f"""#!/bin/sh
case "$1 $2" in
    "info --format") {info if info.startswith("exit") else f"echo '{info}'"} ;;
    "image inspect") case "$3" in {known} esac; echo "Error: $3: image not known" >&2; exit 125 ;;
esac
"""
        )
        program.chmod(0o755)
        return program

    yield play
    engine.found.cache_clear()


def _manifest(folder: Path, lines: str = f'image = "{PIN}"') -> manifest.Manifest:
    folder.mkdir(exist_ok=True)
    text = MANIFEST.format(name="x", identity="full", runtime=f'kind = "container"\n{lines}')
    (folder / "plugin.toml").write_text(text)
    return manifest.load(folder)


def _problem(folder: Path, lines: str = f'image = "{PIN}"') -> str:
    with pytest.raises(Exception, match=r".") as caught:
        container.confinement(_manifest(folder / "plugin", lines), NOT_ISOLATED)
    return str(caught.value)


def test_without_an_engine_each_one_is_named(played: Played, tmp_path: Path) -> None:
    """With the reason of each."""
    assert _problem(tmp_path) == (
        "there is nothing to run containers with: podman is not installed; docker is not installed"
    )
    played("exit 1", name="docker")
    assert "docker does not work here" in _problem(tmp_path)


def test_an_image_that_is_not_here_is_to_be_loaded(played: Played, tmp_path: Path) -> None:
    """The message has the command."""
    played()
    assert f"runtime.image: {PIN} is not here" in _problem(tmp_path)
    assert "`pacsnode plugin load ARCHIVE`" in _problem(tmp_path)


def test_an_image_with_another_digest_is_named(played: Played, tmp_path: Path) -> None:
    """Under the same name."""
    played(images={"localhost/x": {"Id": OTHER}})
    assert f"localhost/x is here with another digest, {OTHER}" in _problem(tmp_path, f'image = "localhost/x@{PIN}"')


def test_an_image_for_another_machine_is_refused(played: Played, tmp_path: Path) -> None:
    """It would start, and fail with a message that nobody understands."""
    played(images={PIN: {"Id": PIN, "Architecture": "mips"}})
    assert f"is for mips, and this machine is {HERE}" in _problem(tmp_path)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('image = "localhost/x:1"', "is not pinned by its digest"),
        ('image = "sha256:abc"', "is not pinned by its digest"),
        (f'image = "--privileged@{PIN}"', "is not pinned by its digest"),
        (f'image = "{PIN}"\nuser = "0:0"', "0 is root"),
        (f'image = "{PIN}"\nuser = "me"', "in numbers"),
        (f'image = "{PIN}"\nexchange = "mercurial"', "did you mean 'mercure'"),
        ("", "runtime.image: is missing"),
    ],
)
def test_a_mistake_in_the_manifest_is_found_with_its_key(tmp_path: Path, lines: str, says: str) -> None:
    """Also an image that would be an option of the engine."""
    with pytest.raises(ManifestError, match=says):
        _manifest(tmp_path / "plugin", lines)


def test_a_network_cannot_be_granted_and_no_variable_steers_the_engine(played: Played, tmp_path: Path) -> None:
    """`check` says so, rather than that the container gets less than it was promised."""
    played(images={PIN: {"Id": PIN}})
    assert "a container has no network" in _problem(tmp_path, f'image = "{PIN}"\nnetwork = ["models.example:443"]')
    for name in ("LD_PRELOAD", "NOTIFY_SOCKET", "LISTEN_FDS", "https_proxy", "_CONTAINERS_USERNS_CONFIGURED", "USER"):
        asks = _manifest(tmp_path / "plugin", f'image = "{PIN}"\nenvironment = {{{name} = "/x"}}')
        isolation = Isolation(None, "", privileges=asks.runtime.privileges)
        with pytest.raises(PermanentError, match=f"{name} would steer podman itself"):
            container.confinement(asks, isolation)
    asks = _manifest(tmp_path / "plugin", f'image = "{PIN}"\nenvironment = {{USER_NAME = "x", MY_PROXY = "y"}}')
    container.confinement(asks, Isolation(None, "", privileges=asks.runtime.privileges))


@pytest.mark.parametrize("path", ["/a,readonly=false", '/a"b', "/a\nb"])
def test_a_path_that_an_engine_reads_as_something_else_is_refused_by_check(
    played: Played, tmp_path: Path, path: str
) -> None:
    """A mount is a row of CSV to it: what comes after a comma would be options, after a newline nothing at all."""
    played(images={PIN: {"Id": PIN}})
    asks = _manifest(tmp_path / "plugin", f'image = "{PIN}"\nreadable = [{json.dumps(path)}]')
    with pytest.raises(PermanentError, match=r"runtime\.readable: .*a container cannot be given a path with a comma"):
        container.confinement(asks, Isolation(None, "", privileges=asks.runtime.privileges))


def test_without_root_it_is_said_what_the_kernel_does_not_hold(played: Played, tmp_path: Path) -> None:
    """podman ignores such limits with a warning that nobody would see; its options are left out."""
    played("4.3.1|true|v1|[]", images={PIN: {"Id": PIN}})
    known = _manifest(tmp_path / "plugin")
    its = container.confinement(known, NOT_ISOLATED)
    assert "limits for memory, processes, processors are not held by the kernel here" in str(its)
    assert its.engine is not None
    assert (its.engine.rootless, its.whole, its.apart) == (True, True, False)
    words = line.command_line(its.engine, known, tmp_path / "work/j/1", AttemptLimits(60, 2**20), NOTHING).arguments
    assert not [each for each in words if each.startswith(("--memory", "--pids-limit", "--cpus"))]
    assert "--user=0:0" in words


def test_required_isolation_asks_for_a_user_of_its_own(played: Played, tmp_path: Path) -> None:
    """A container whose program is the node's own user to the kernel does not run there."""
    played("4.3.1|true|v2|[memory pids cpu]", images={PIN: {"Id": PIN}})
    its = container.confinement(_manifest(tmp_path / "plugin"), Isolation(None, "", required=True))
    assert "runs it as the node's own user" in its.refusal


def test_the_command_line_has_every_wall(tmp_path: Path) -> None:
    """Whatever the manifest says."""
    known = _manifest(tmp_path / "plugin", f'image = "{PIN}"\ncommand = ["--privileged", "{{folder}}/x"]')
    found = Engine(EngineKind.PODMAN, "/usr/bin/podman", "4.3.1", rootless=True)
    words = list(line.command_line(found, known, tmp_path / "work/j/1", AttemptLimits(60, 2**20), NOTHING).arguments)
    walls = {"--pull=never", "--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"}
    assert walls | {"--image-volume=ignore", "--log-driver=none", "--timeout=660"} <= set(words)
    assert words[words.index(PIN) + 1 :] == ["--privileged", "/job/x"], "what follows the image is the program's"
    writable = [each for each in words if each.startswith("--mount") and not each.endswith(",readonly")]
    assert {each.rpartition("destination=")[2] for each in writable} == {"/tmp", "/job/out", "/job/scratch"}


@pytest.mark.parametrize(("says", "expected"), [("1", True), ("1\n", True), ("0", False), (None, False)])
def test_only_where_selinux_enforces_a_container_goes_without_its_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str | None, expected: bool
) -> None:
    """Its files have the labels of the data folder, which nobody changes: no mount asks for other ones."""
    monkeypatch.setattr(engine, "SELINUX", tmp_path / "enforce")
    if says is not None:
        (tmp_path / "enforce").write_text(says)
    known = _manifest(tmp_path / "plugin")
    found = Engine(EngineKind.PODMAN, "/usr/bin/podman", "4.3.1", rootless=False)
    words = line.command_line(found, known, tmp_path / "work/j/1", AttemptLimits(60, 2**20), NOTHING).arguments
    assert ("--security-opt=label=disable" in words) is expected
    assert "--security-opt=no-new-privileges" in words
    assert not [each for each in words if "relabel" in each]


def test_status_and_check_say_how_a_container_is_confined(played: Played, tmp_path: Path) -> None:
    """In one line of its own; a plugin that cannot run is an alert."""
    played(images={PIN: {"Id": PIN}})
    site = Site(tmp_path / "site")
    _manifest(tmp_path / "plugin")
    site.uses["x"] = PluginUse(folder=tmp_path / "plugin", allow=PluginGrants())
    plugin = site.catalogue(NOT_ISOLATED).find("x")
    assert confinement.granted("x", plugin.isolation) == "x: no network"
    assert str(plugin.isolation).startswith("isolated in a container (podman 4.3.1): no network, no capability")


def test_an_engine_that_breaks_says_so(played: Played, tmp_path: Path) -> None:
    """And not that an image is missing."""
    program = played()
    found = engine.found("podman")
    program.write_text("#!/bin/sh\necho 'Error: database is locked' >&2; exit 125\n")
    with pytest.raises(EngineError, match="podman: database is locked"):
        found.image(PIN)


def test_a_kill_that_the_node_did_not_send_may_be_the_kernel_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """With cgroups of version 1 nobody says afterwards who sent it: what may be why is said, with the limit."""

    def inspected(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, "2026-03-01 10:00:00 +0000 UTC|false\n", "")

    monkeypatch.setattr(engine, "call", inspected)
    order = ContainerOrder(EngineKind.PODMAN, "podman", "/work/job/1", ExchangeForm.PACSNODE)
    enclosure = ContainerEnclosure(order)
    enclosure.begin(64 * 2**20, 10)
    killed, crashed = enclosure.how_ended(128 + 9), enclosure.how_ended(128 + 11)
    assert killed is not None
    assert crashed is not None
    assert (killed.ending, killed.code, crashed.detail) == ("signalled", 9, "")
    assert "by the kernel, if it took more than the 64 MiB" in killed.detail
    ended = Exit(ExitKind.SIGNALLED, 9, killed.detail)
    assert attempt._words(ended).startswith("ended by signal SIGKILL, by the kernel, if it took more than the 64 MiB")
