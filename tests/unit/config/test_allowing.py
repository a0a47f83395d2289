"""What a plugin asks for and the site grants: the manifest's keys, the site's keys, and what is in force of both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from node.config import allowing
from node.config.allowing import PluginGrants
from node.config.loading import load, read
from node.config.problems import ConfigurationError
from plugins import manifest
from plugins.manifest_table import ManifestError
from plugins.privileges import NOTHING, Endpoint, Privileges
from tests.support.sites.configurations import Write
from tests.support.sites.job_site import MANIFEST

ASKS = """kind = "command"
command = ["run"]
network = ["Models.Hospital.example:443", "10.1.2.3:104"]
readable = ["/data/models"]
environment = {REGION = "kr", LICENCE = {file = "/etc/acme/licence"}}
gpu = true
"""
ASKED = Privileges(
    (Endpoint("models.hospital.example", 443), Endpoint("10.1.2.3", 104)),
    (Path("/data/models"),),
    (("REGION", "kr"), ("LICENCE", Path("/etc/acme/licence"))),
    gpu=True,
)


def _manifest(folder: Path, runtime: str) -> Path:
    folder.mkdir(exist_ok=True)
    text = MANIFEST.replace("{name}", "n").replace("{identity}", "full").replace("{runtime}", runtime)
    (folder / "plugin.toml").write_text(text)
    return folder


def test_a_manifest_asks(tmp_path: Path) -> None:
    """All four keys; none of them, and network = "none", ask for nothing."""
    assert manifest.load(_manifest(tmp_path / "a", ASKS)).runtime.privileges == ASKED
    quiet = 'kind = "command"\ncommand = ["run"]\nnetwork = "none"'
    assert manifest.load(_manifest(tmp_path / "b", quiet)).runtime.privileges == NOTHING


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('network = "all"', 'network: expected "none", or a list'),
        ('network = ["models"]', "network: 'models' is not host:port"),
        ('network = ["[::1]:80"]', "network: .* an IPv4 address"),
        ('network = ["a:0"]', "network: .* is not host:port"),
        ('readable = ["models"]', "readable: 'models' is not an absolute path"),
        ('readable = ["/a/../etc"]', r"readable: .* without \.\."),
        ('readable = ["/"]', "readable: '/' is not"),
        ('environment = {"A B" = "x"}', "environment: 'A B' is not a name"),
        ('environment = {PATH = "/x"}', "environment: PATH is set by the node"),
        ("environment = {A = 1}", "environment: A: expected a text"),
        ('environment = {A = {file = "x"}}', "environment: A: expected a text"),
        ('gpu = "yes"', "gpu: expected true or false"),
    ],
)
def test_what_cannot_be_asked_for_is_a_mistake_with_its_place(tmp_path: Path, line: str, problem: str) -> None:
    """File, line and key."""
    folder = _manifest(tmp_path / "a", f'kind = "command"\ncommand = ["run"]\n{line}')
    with pytest.raises(ManifestError, match=rf"plugin\.toml:\d+: runtime\.{problem}"):
        manifest.load(folder)


def test_in_force_is_what_both_say() -> None:
    """What is granted and not asked for is not given; of a variable, the site's value counts."""
    granted = PluginGrants.model_validate(
        {
            "network": ["models.hospital.example:443", "other:80"],
            "readable": ["/data", "/etc"],
            "environment": {"LICENCE": {"file": "/srv/licence"}, "OTHER": "x"},
        }
    )
    assert allowing.in_force(ASKED, granted) == Privileges(
        (Endpoint("models.hospital.example", 443),), (Path("/data/models"),), (("LICENCE", Path("/srv/licence")),)
    )
    assert allowing.in_force(NOTHING, granted) == NOTHING


def test_a_plugin_that_asks_for_more_is_a_problem_that_says_what_to_write(write: Write) -> None:
    """The line that it prints, added to the configuration, is all that was missing."""
    path = write("node: {time_zone: UTC}\nplugins:\n  mine:\n    folder: asks\n")
    _manifest(path.parent / "asks", ASKS)
    with pytest.raises(ConfigurationError) as refused:
        load(path)
    [problem] = refused.value.problems
    assert problem.yaml_path == "plugins.mine"
    [line] = re.findall(r"allow: \{.*\}", problem.message)
    assert 'network: ["models.hospital.example:443", "10.1.2.3:104"]' in line
    path.write_text(f"{path.read_text()}    {line}\n")
    granted = load(path).plugins["mine"].allow
    assert allowing.in_force(ASKED, granted) == ASKED


def test_a_secret_that_others_can_read_is_a_warning(write: Write) -> None:
    """At the line that names it; a plain value is no file."""
    allow = "{environment: {LICENCE: {file: licence}, REGION: kr}}"
    path = write(f"node: {{time_zone: UTC}}\nplugins:\n  lung-density:\n    allow: {allow}\n")
    (path.parent / "licence").write_text("x")
    (path.parent / "licence").chmod(0o644)
    [warning] = read(path).warnings
    assert warning.yaml_path == "plugins.lung-density.allow.environment.LICENCE.file"
    assert "chmod 600 licence" in warning.message
    (path.parent / "licence").chmod(0o600)
    assert not read(path).warnings
