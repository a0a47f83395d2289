"""Web services in the configuration: what is refused, what a site is warned of, and what `check` says of hosts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from node.config import loading
from node.config.problems import ConfigurationError
from node.config.services import WebService
from plugins import manifest
from plugins.manifest_table import ManifestError
from plugins.services import SubmittedForm

MANIFEST = """
schema = 1
outputs = ["dicom"]
[identity]
name = "lungs"
version = "1"
manufacturer = "Vendor"
intended_use = "Plays a web service."
[runtime]
kind = "http"
service = "ai"
"""
CONFIGURATION = """
node: {data: data, time_zone: UTC}
services:
  ai: {url: "http://ai.example/analyses"}
plugins:
  lungs: {folder: lungs}
"""


def folder_with(folder: Path, configuration: str = CONFIGURATION, text: str = MANIFEST) -> Path:
    (folder / "lungs").mkdir()
    (folder / "lungs" / "plugin.toml").write_text(text)
    (folder / "config.yaml").write_text(configuration)
    return folder / "config.yaml"


def test_the_page_has_a_manifest_and_a_section_that_hold(tmp_path: Path) -> None:
    """docs/http.md, as it stands."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "http.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "plugin.toml").write_text(text)
    read = manifest.load(tmp_path)
    assert read.runtime.service is not None
    assert (read.runtime.service.service, read.runtime.service.send) == ("lungs", SubmittedForm.MULTIPART)
    assert read.runtime.deadline_seconds == 3600
    assert tomllib.loads(text)["runtime"]["exchange"] == "pacsnode"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('network = ["a:1"]', "means nothing for kind http"),
        ("memory_mb = 5", "means nothing for kind http"),
        ('send = "tar"', "send"),
        ('exchange = "mercure"', 'is for kind = "container"'),
        ('command = ["x"]', "command"),
    ],
)
def test_a_manifest_that_means_nothing_is_refused(tmp_path: Path, lines: str, problem: str) -> None:
    """With its key."""
    (tmp_path / "plugin.toml").write_text(MANIFEST + lines)
    with pytest.raises(ManifestError, match=problem):
        manifest.load(tmp_path)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"url": "ftp://x"}, "not an address of a web service"),
        ({"url": "https://user:secret@x"}, "names no user"),
        ({"url": "https://x", "certificate": "a.pem"}, "go together"),
        ({"url": "http://x", "authorities": "a.pem"}, "for TLS"),
        ({"url": "https://x", "at_once": 0}, "at_once"),
    ],
)
def test_a_service_that_cannot_be_is_refused(keys: dict[str, Any], problem: str) -> None:
    """No secret is in the file, and TLS is whole or not there."""
    with pytest.raises(ValidationError, match=problem):
        WebService.model_validate(keys)


@pytest.mark.parametrize(
    ("url", "host", "place"),
    [
        ("https://ai.example/a", "ai.example:443", "ai.example:443 over TLS"),
        ("http://10.0.0.5:8080", "10.0.0.5:8080", "10.0.0.5:8080, not encrypted"),
        ("http://[::1]/a", "[::1]:80", "[::1]:80, not encrypted"),
    ],
)
def test_a_place_names_host_port_and_whether_it_is_encrypted(url: str, host: str, place: str) -> None:
    """As `check` and `status` do."""
    service = WebService.model_validate({"url": url})
    assert (service.host, service.place) == (host, place)


def test_a_service_that_is_missing_and_files_that_are_not_there(tmp_path: Path) -> None:
    """Each problem names its place, and the service that may be meant."""
    text = CONFIGURATION.replace("  ai: {", "  aj: {token_file: token, ").replace("http:", "https:")
    with pytest.raises(ConfigurationError) as found:
        loading.read(folder_with(tmp_path, text.replace("{token_file", "{certificate: c.pem, key: k.pem, token_file")))
    places = {each.yaml_path: each.message for each in found.value.problems}
    assert set(places) >= {"services.aj.token_file", "services.aj.certificate", "services.aj.key", "plugins.lungs"}
    assert 'names the service "ai"' in places["plugins.lungs"]


def test_a_site_is_warned_of_what_leaves_unencrypted_or_with_identity(tmp_path: Path) -> None:
    """Both name the host."""
    loaded = loading.read(folder_with(tmp_path, text=MANIFEST + 'identity = "full"\n'))
    told = [each.message for each in loaded.warnings]
    assert any("images travel to ai.example unencrypted" in each for each in told)
    assert any(each.startswith("ai.example gets the images as received") for each in told)
