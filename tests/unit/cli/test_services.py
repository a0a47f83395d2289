"""Web services on the command line: whether one answers, and which host gets what."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.cli import running
from node.config import loading
from node.run import catalogue
from tests.support.sites.ai_service import AiService, serving
from tests.support.sites.calls import Run
from tests.support.sites.job_site import NOT_ISOLATED
from tests.support.sites.service_room import manifest_of

CONFIGURATION = """
node: {{data: data, time_zone: UTC}}
services:
  ai: {{url: "{url}", token_file: token}}
plugins:
  lungs: {{folder: lungs}}
"""


def configured(folder: Path, url: str, identity: str = "pseudonym") -> Path:
    (folder / "lungs").mkdir()
    (folder / "lungs" / "plugin.toml").write_text(manifest_of(identity=identity))
    (folder / "token").write_text("sesame\n")
    (folder / "config.yaml").write_text(CONFIGURATION.format(url=url))
    return folder / "config.yaml"


def test_echo_asks_a_service_without_an_image(run: Run, tmp_path: Path) -> None:
    """It answers, or the reason says why not; a probe is for destinations."""
    with serving(AiService(token="sesame")) as ai:
        configured(tmp_path, ai.url)
        answered = run("echo", "ai")
        assert (answered.code, "answers" in answered.out) == (0, True)
        assert run("echo", "ai", "--json").json["answers"] is True
        assert run("echo", "ai", "--probe").code == 2
    assert "cannot be reached" in run("echo", "ai").err


@pytest.mark.parametrize(("identity", "what"), [("pseudonym", "pseudonyms instead"), ("full", "images as received")])
def test_check_says_which_host_gets_what(tmp_path: Path, identity: str, what: str) -> None:
    """Nothing else says where images leave the house."""
    configuration = loading.load(configured(tmp_path, "https://ai.example/analyses", identity))
    found = catalogue.load(configuration.plugins, tmp_path, NOT_ISOLATED, services=configuration.services)
    said = running._identity(found.find("lungs"), configuration)
    assert said.startswith("lungs: ai.example:443 gets ")
    assert what in said
