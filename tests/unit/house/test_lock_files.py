"""The lock files: complete, hashed, and the same on every machine."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pydicom.pixels.decoders.gdcm
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[3]
LOCK_FILES = ("requirements.lock", "requirements-dev.lock")


def pins(name: str) -> dict[str, str]:
    """Package → version of every pin in a lock file."""
    found = re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


def wanted(*groups: str) -> list[Requirement]:
    """The requirements of pyproject.toml: of the program, and of the given dependency groups."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = list(project["project"]["dependencies"]) + list(project["build-system"]["requires"])
    for group in groups:
        lines += [line for line in project["dependency-groups"][group] if isinstance(line, str)]
    return [Requirement(line) for line in lines]


KNOWN_HOLES = {"pydicom": "3.0.1", "pynetdicom": "3.0.3", "pillow": "12.1.99", "python-gdcm": "3.2.1"}
"""The last versions with published holes: paths out of a data set, fonts, codestreams. They read hostile bytes."""


@pytest.mark.parametrize("package", sorted(KNOWN_HOLES))
def test_what_reads_hostile_bytes_is_newer_than_its_known_holes(package: str) -> None:
    """Neither pyproject.toml nor a lock file lets the version with the hole in, however a site installs."""
    (requirement,) = [each for each in wanted() if canonicalize_name(each.name) == package]
    assert not requirement.specifier.contains(KNOWN_HOLES[package])
    for lock in LOCK_FILES:
        assert Version(pins(lock)[package]) > Version(KNOWN_HOLES[package]), lock


def test_gdcm_is_pinned_and_never_given_a_file() -> None:
    """Its reader of files allocates what a header asks for. pydicom hands it codestreams; nothing of ours calls it."""
    (requirement,) = [each for each in wanted() if each.name == "python-gdcm"]
    assert [each.operator for each in requirement.specifier] == ["=="]
    sources = [path for room in ("node", "rules", "plugins") for path in (ROOT / room).rglob("*.py")]
    assert [path for path in sources if re.search(r"\bimport gdcm|\bfrom gdcm", path.read_text())] == []
    assert not re.search(r"gdcm\.\w*(?:Reader|File|Stream)\b", inspect.getsource(pydicom.pixels.decoders.gdcm))


@pytest.mark.parametrize(("lock", "groups"), [(LOCK_FILES[0], ["build"]), (LOCK_FILES[1], ["build", "dev"])])
def test_every_requirement_has_a_pin_that_fits(lock: str, groups: list[str]) -> None:
    """A dependency added to pyproject.toml without `make lock` is found here, not on a fresh machine."""
    pinned = pins(lock)
    unmet = [
        str(requirement)
        for requirement in wanted(*groups)
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    absent = [str(r) for r in wanted(*groups) if canonicalize_name(r.name) not in pinned]
    assert not unmet + absent, f"{lock} does not fit pyproject.toml: run `make lock`"


def test_tests_run_on_what_is_shipped() -> None:
    """Every pin of the program's lock file stands with the same version in the developers' one."""
    shipped, developers = pins(LOCK_FILES[0]), pins(LOCK_FILES[1])
    assert shipped
    assert shipped.items() <= developers.items()


@pytest.mark.parametrize("lock", LOCK_FILES)
def test_every_pin_has_a_hash_and_no_address(lock: str) -> None:
    """A lock file names packages, versions and hashes, never where they come from: that is the site's own business."""
    text = (ROOT / lock).read_text()
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) > 30
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text
    assert re.findall(r"(?:^|[\s(])/\S+", text) == []
