"""A bundle that is made without a network is installed without one: whole, or not at all."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import minisign
import pytest

from node.errors import PermanentError, UsageError
from node.release import archive, creating, installing, releases, signatures, verifying, wheels
from node.release.archive import BundleManifest, member_of
from node.release.creating import BundleInputs
from node.release.releases import CURRENT, PREVIOUS, Releases
from node.release.wheels import Wheel, WheelTarget
from tests.support.programs.peers import program, require_peer
from tests.support.sites import made_release

HERE = WheelTarget(f"{sys.version_info[0]}.{sys.version_info[1]}", 17)
PLUGIN = Path(__file__).resolve().parents[3] / "plugins" / "ct_qa"
COMMAND = [sys.executable, "-m", "node.cli", "bundle"]


class MadeBundle:
    """One for all tests of this file, made and installed by the command in namespaces without a network."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "root"
        self.house = made_release.wheelhouse(folder / "house")
        (folder / "image.tar").write_bytes(b"an image")
        keys = minisign.KeyPair.generate()
        self.secret, self.public = folder / "key.sec", folder / "key.pub"
        self.secret.write_bytes(bytes(keys.secret_key))
        self.public.write_bytes(bytes(keys.public_key))
        self.file = folder / "made.bundle"
        self.inputs = BundleInputs(
            folder, self.house / "requirements.lock", HERE, self.house, image=folder / "image.tar", plugins=[PLUGIN]
        )

    def offline(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """`pacsnode bundle …` where there is no network at all."""
        apart = ["unshare", "--user", "--map-root-user", "--net"]
        return subprocess.run([*apart, *COMMAND, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeBundle:
    if subprocess.run(["unshare", "--user", "--map-root-user", "--net", "true"], check=False).returncode:
        pytest.skip("this machine gives no network namespaces")
    its = MadeBundle(tmp_path_factory.mktemp("bundle"))
    options = ["--source", its.folder, "--lock", its.inputs.lock, "--wheels", its.house, "--platform", HERE.platform]
    taken = ["--image", its.inputs.image, "--plugin", PLUGIN, "--key", its.secret]
    created = its.offline("create", its.file, *options, *taken)
    assert created.returncode == 0, created.stderr
    installed = its.offline("install", its.file, "--root", its.root, "--public-key", its.public)
    assert installed.returncode == 0, installed.stderr
    assert f"release 9.1.0 is installed in {its.root / 'releases' / '9.1.0'}, and in use" in installed.stdout
    return its


def test_a_bundle_is_installed_where_there_is_no_network(made: MadeBundle) -> None:
    """Its own environment has pacsnode and what it needs; plugins, image, schemas and SBOM are beside it."""
    release = made.root / "current"
    assert os.readlink(release) == "releases/9.1.0"
    said = subprocess.run([release / "venv/bin/pacsnode", "--version"], capture_output=True, text=True)
    assert said.stdout == "pacsnode 9.1.0\n"
    again = "import tinylib; print(tinylib.__file__)"
    library = subprocess.run(
        [release.resolve() / "venv/bin/python", "-c", again], capture_output=True, text=True
    ).stdout
    assert library.startswith(f"{made.root}/releases/9.1.0/venv/")
    assert (release / "plugins/ct_qa/plugin.toml").read_text() == (PLUGIN / "plugin.toml").read_text()
    assert (release / "image/image.tar").read_bytes() == b"an image"
    assert not (release / "wheels").exists()
    assert {each.name for each in made.root.iterdir()} == {"current", "releases", "minisign.pub", "lock"}


def test_equal_inputs_give_equal_bytes(made: MadeBundle, tmp_path: Path) -> None:
    """Another day, in another folder, with other times of the files."""
    os.utime(made.inputs.lock, (1, 1))
    creating.create(made.inputs, tmp_path / "again.bundle")
    assert (tmp_path / "again.bundle").read_bytes() == made.file.read_bytes()


def test_the_sbom_names_every_part_with_version_licence_and_hash(made: MadeBundle) -> None:
    """As CycloneDX 1.6; its own library reads it back as valid."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (made.root / "current" / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    said = json.loads(text)
    (wheel,) = made.house.glob("tinylib-*.whl")
    tiny = next(each for each in said["components"] if each["name"] == "tinylib")
    assert (tiny["version"], tiny["licenses"], tiny["purl"]) == (
        "1.0",
        [{"license": {"id": "MIT"}}],
        "pkg:pypi/tinylib@1.0",
    )
    assert tiny["hashes"] == [{"alg": "SHA-256", "content": Wheel.read(wheel).sha256}]
    assert said["metadata"]["component"]["version"] == "9.1.0"
    assert {each["name"]: each["type"] for each in said["components"]} == {
        "tinylib": "library",
        "ct_qa": "application",
        "image.tar": "container",
    }


def test_debians_minisign_and_ours_read_each_others_signatures(made: MadeBundle, tmp_path: Path) -> None:
    """Ours is verified by it, and one that it makes by us."""
    require_peer("minisign")
    minisign_of_debian = program("minisign", "minisign")
    theirs = subprocess.run([minisign_of_debian, "-Vm", made.file, "-p", made.public], capture_output=True, text=True)
    assert theirs.returncode == 0, theirs.stderr
    assert f"Trusted comment: pacsnode 9.1.0 for {HERE.python} {HERE.platform}" in theirs.stdout
    shutil.copyfile(made.file, tmp_path / "b")
    for options in (["-G", "-W", "-p", "k.pub", "-s", "k.sec"], ["-Sm", "b", "-s", "k.sec"]):
        subprocess.run([minisign_of_debian, *options], cwd=tmp_path, check=True, capture_output=True)
    assert verifying.verify(tmp_path / "b", signatures.public_key(str(tmp_path / "k.pub"))).version == "9.1.0"


def contents(root: Path) -> set[str]:
    """Every path below a folder, and where links lead; locks and caches apart."""
    return {
        f"{each.relative_to(root)} -> {os.readlink(each)}" if each.is_symlink() else str(each.relative_to(root))
        for each in root.rglob("*")
        if "__pycache__" not in each.parts
    }


def test_a_changed_bundle_installs_nothing(made: MadeBundle, tmp_path: Path) -> None:
    """One bit of it: the folder of releases is as it was."""
    whole = bytearray(made.file.read_bytes())
    whole[len(whole) // 2] ^= 1
    bad = tmp_path / "bad.bundle"
    bad.write_bytes(whole)
    shutil.copyfile(verifying.signature_of(made.file), verifying.signature_of(bad))
    before = contents(made.root)
    with pytest.raises(PermanentError, match="not a signature of this bundle"):
        installing.install(bad, Releases(made.root))
    assert contents(made.root) == before


def test_a_release_is_installed_once_and_never_replaced(made: MadeBundle, tmp_path: Path) -> None:
    """The same bundle again changes nothing; another one of the same version is refused."""
    before = contents(made.root)
    outcome = installing.install(made.file, Releases(made.root))
    assert (outcome.was_there, outcome.in_use, contents(made.root)) == (True, True, before)
    other = BundleManifest("9.1.0", HERE.python, HERE.platform, 1, (member_of("docs/a.md", b"A"),))
    with (tmp_path / "other.bundle").open("wb") as file:
        archive.write(file, other, {"docs/a.md": b"A"})
    signatures.sign(tmp_path / "other.bundle", made.secret, None, "")
    with pytest.raises(PermanentError, match=r"9\.1\.0 is installed from another bundle"):
        installing.install(tmp_path / "other.bundle", Releases(made.root))
    assert contents(made.root) == before


def test_an_installation_that_fails_leaves_nothing(
    made: MadeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the bundle is right and pip fails: no release, no key that was not there."""

    def full(*_: object) -> None:
        raise PermanentError("pip install failed")

    monkeypatch.setattr(installing, "_make_environment", full)
    with pytest.raises(PermanentError, match="pip install failed"):
        installing.install(made.file, Releases(tmp_path), str(made.public))
    assert contents(tmp_path) == {"lock", "releases"}


def test_a_node_that_runs_keeps_its_release(made: MadeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the new one is installed beside it, and `current` stays: the ledger has to go along with an upgrade."""
    shutil.copytree(made.root, tmp_path / "root", symlinks=True)
    its = Releases(tmp_path / "root")
    release(its, "9.0.0")
    its.switch(its.get("9.0.0"))
    monkeypatch.setattr(releases.Releases, "running", lambda _: [17])
    outcome = installing.install(made.file, its)
    assert (outcome.in_use, outcome.node) == (False, 17)
    assert its.linked(CURRENT) == its.get("9.0.0")


def release(its: Releases, version: str) -> None:
    (its.root / "releases" / version).mkdir(parents=True)
    its.finish(version, "0")


def test_the_links_name_the_release_in_use_and_the_one_before(tmp_path: Path) -> None:
    """Half a release counts for nothing."""
    its = Releases(tmp_path)
    assert (its.linked(CURRENT), its.linked(PREVIOUS)) == (None, None)
    for version in ("1.0", "1.1"):
        release(its, version)
        its.switch(its.get(version))
    assert (its.linked(CURRENT), its.linked(PREVIOUS)) == (its.get("1.1"), its.get("1.0"))
    (tmp_path / "releases" / "1.2").mkdir()
    assert [each.version for each in its.all()] == ["1.0", "1.1"]


@pytest.mark.parametrize(
    ("python", "platform", "says"),
    [
        ("3", "manylinux_2_28_x86_64", "--python 3"),
        ("3.11", "win_amd64", "--platform win_amd64"),
        ("3.11", "", "--platform"),
    ],
)
def test_a_target_that_is_none_is_refused(python: str, platform: str, says: str) -> None:
    """By its option."""
    with pytest.raises(UsageError, match=says):
        WheelTarget.parse(python, platform)


def test_wheels_of_older_platforms_run_on_newer_ones() -> None:
    """PEP 600: whatever glibc is at least as new as theirs."""
    tags = WheelTarget.parse("3.11", "manylinux_2_28_x86_64").tags()
    assert tags[0] == "manylinux_2_28_x86_64"
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64"} <= set(tags)
    assert "manylinux_2_34_x86_64" not in tags


def test_what_makes_bundles_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only making one needs the extra."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cyclonedx" else name)
    with pytest.raises(UsageError, match=r"needs cyclonedx: pip install 'pacsnode\[bundle\]'"):
        wheels.check_tools()


def test_a_wheel_whose_hash_the_lock_file_does_not_have_is_refused(made: MadeBundle, tmp_path: Path) -> None:
    """pip's own reason is shown."""
    house = made_release.wheelhouse(tmp_path / "house")
    lock = house / "requirements.lock"
    (tiny,) = house.glob("tinylib-*.whl")
    lock.write_text(lock.read_text().replace(Wheel.read(tiny).sha256, "0" * 64))
    with pytest.raises(PermanentError, match=r"(?i)hash"):
        creating.create(BundleInputs(made.folder, lock, HERE, house), tmp_path / "x.bundle")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["house"]
