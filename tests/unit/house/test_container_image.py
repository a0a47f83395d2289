"""The container image and its try-out say what the code says; `make installs` builds and runs them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from node import __version__
from node.config.destinations import DicomDestination
from node.config.loading import load
from node.serve import receivers, supervisor
from tests.support.shared_data import ROOT

FOLDER = ROOT / "packaging/container"
CONTAINERFILE = (FOLDER / "Containerfile").read_text()
TRY_OUT = FOLDER / "try-out"
PAGE = (ROOT / "docs/container.md").read_text()


def instructions(name: str) -> list[str]:
    """What comes after each instruction of this name, its continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", CONTAINERFILE)
    return re.findall(rf"^{name} (.+)$", joined, re.MULTILINE)


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """Of compose.yaml."""
    plain = YAML(typ="safe").load((TRY_OUT / "compose.yaml").read_text())
    assert set(plain) == {"name", "services", "volumes"}
    return dict(plain["services"])


def test_the_image_is_labelled_with_the_version_and_the_licences_of_the_project() -> None:
    """What a registry or a scanner shows is what the wheel says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"VERSION={__version__}" in instructions("ARG")
    (labels,) = instructions("LABEL")
    assert f'org.opencontainers.image.licenses="{project["license"]}"' in labels
    names = {"title", "description", "licenses", "version", "revision", "base.name"}
    assert set(re.findall(r"org\.opencontainers\.image\.([\w.]+)=", labels)) == names


def test_the_image_runs_as_a_numbered_user_and_every_base_is_the_sites_own() -> None:
    """No stage names a base; the last user is a number, which Kubernetes and podman can compare; not root."""
    assert instructions("FROM") == ["${BASE} AS build", "${BASE}"]
    assert instructions("USER") == ["11112:11112"]
    assert instructions("VOLUME") == ["/var/lib/pacsnode"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert "status --check" in instructions("HEALTHCHECK")[0]


def test_packages_come_by_the_hashes_of_the_lock_file() -> None:
    """No pip installs by name; what it installs is hashed, or is the wheel that was built here."""
    for command in re.findall(r"pip --python \S+ install (.+?)(?= &&|$)", "\n".join(instructions("RUN"))):
        assert ("--require-hashes" in command and "-r requirements.lock" in command) or "--no-index" in command


def test_all_that_is_built_from_is_in_the_context() -> None:
    """.dockerignore leaves out all but what it names; what pyproject.toml and the Containerfile name is there."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "*" in lines
    assert {*build["packages"], *build["shared-data"], "LICENSE", "pyproject.toml", "requirements.lock"} <= let_in


def test_whoever_stops_a_container_waits_until_the_node_has_drained(services: dict[str, dict[str, Any]]) -> None:
    """Receivers, then the node: compose.yaml and docs/container.md give them the time."""
    longest = receivers.MAY_TAKE + supervisor._NODE_MAY_TAKE
    given = int(str(services["pacsnode"]["stop_grace_period"]).removesuffix("s"))
    assert given >= longest
    assert f"--stop-timeout {given}" in PAGE


def test_the_try_out_is_of_two_services_as_compose_reads_them(services: dict[str, dict[str, Any]]) -> None:
    """Each key is one of the Compose Specification with its shape; ports are of loopback; images are variables."""
    lists = {"command", "depends_on", "cap_drop", "security_opt", "volumes", "tmpfs", "ports"}
    shapes = {"image": str, "stop_grace_period": str, "read_only": bool, **dict.fromkeys(lists, list)}
    assert set(services) == {"orthanc", "pacsnode"}
    for service in services.values():
        assert {key for key, value in service.items() if not isinstance(value, shapes.get(key, ()))} == set()
        assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-\S+\}", str(service["image"]))
        assert all(str(port).startswith("127.0.0.1:") for port in service["ports"])
    node = services["pacsnode"]
    assert (node["read_only"], node["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges" in node["security_opt"]


def test_the_files_that_the_try_out_mounts_fit_each_other(services: dict[str, dict[str, Any]]) -> None:
    """The node's configuration is right, and Orthanc is what it calls, and knows whom it calls."""
    mounted = [each.split(":")[0] for service in services.values() for each in service["volumes"]]
    assert [each for each in mounted if each.startswith(".") and not Path(TRY_OUT, each).is_file()] == []
    configuration = load(TRY_OUT / "config.yaml")
    pacs = configuration.destinations["pacs"]
    assert isinstance(pacs, DicomDestination)
    orthanc = json.loads((TRY_OUT / "orthanc.json").read_text())
    assert (pacs.ae_title, pacs.host, pacs.port) == (orthanc["DicomAet"], "orthanc", orthanc["DicomPort"])
    assert orthanc["DicomModalities"]["pacsnode"] == ["PACSNODE", "pacsnode", configuration.node.listen.port]
