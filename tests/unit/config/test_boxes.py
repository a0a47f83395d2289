"""Boxes in the configuration: what is wrong, in words and with its place, and what a site should know."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from node.config import loading
from node.config.problems import ConfigurationError
from node.errors import UsageError
from node.kit import chosen, writing
from plugins import manifest
from plugins.runtime import RuntimeKind
from tests.support.sites.box_room import MANIFEST


def _write(tmp_path: Path, boxes: dict[str, Any], *, identity: str = "pseudonym", **use: Any) -> Path:
    folder = tmp_path / "cad"
    folder.mkdir()
    (folder / "plugin.toml").write_text(MANIFEST.format(runtime="", identity=identity))
    value = {
        "node": {"time_zone": "UTC"},
        "modalities": {"ct1": {"ae_title": "CT1"}},
        "destinations": {"pacs": {"ae_title": "PACS", "host": "10.0.0.9", "port": 104}},
        "boxes": boxes,
        "plugins": {"cad": {"folder": str(folder), **use}},
    }
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(value, indent=1))
    return path


def _box(**keys: Any) -> dict[str, Any]:
    return {"ae_title": "CADBOX", "host": "10.0.0.20", "port": 104, **keys}


@pytest.mark.parametrize(
    ("boxes", "place", "message"),
    [
        ({"cad": _box(ae_title="CT1")}, "boxes.cad.ae_title", "is that of modalities.ct1 already"),
        ({"cad": _box(answering=["OUT", "PACS"])}, "boxes.cad.answering[1]", "is that of destinations.pacs already"),
        ({"cad": _box(), "b": _box()}, "boxes.b.ae_title", "is that of boxes.cad already"),
        ({"cad": _box(host="127.0.0.1", port=11112)}, "boxes.cad.port", "is this node itself"),
        ({"cad": _box(answers={"from": "pax"})}, "boxes.cad.answers.from", 'there is no destination "pax"'),
        ({"cd": _box()}, "plugins.cad", 'names the box "cad", which is not under boxes:'),
        ({"cad": _box(answers="elsewhere")}, "plugins.cad", "do not come here"),
        ({"cad": _box(tls={"authorities": "no.pem"})}, "boxes.cad.tls.authorities", "there is no file"),
        ({"cad": _box(answers="nowhere")}, "boxes.cad.answers", ""),
    ],
)
def test_a_mistake_names_its_place(tmp_path: Path, boxes: dict[str, Any], place: str, message: str) -> None:
    """In words that say what to change."""
    with pytest.raises(ConfigurationError) as caught:
        loading.read(_write(tmp_path, boxes))
    found = {each.yaml_path: each.message for each in caught.value.problems}
    assert message in found[place], found


def test_a_calling_ae_title_is_for_boxes(tmp_path: Path) -> None:
    """A plugin that is a program calls nobody."""
    path = _write(tmp_path, {"cad": _box()}, calling_ae_title="LICENSED")
    assert loading.load(path).plugins["cad"].calling_ae_title == "LICENSED"
    (tmp_path / "cad" / "plugin.toml").write_text(
        MANIFEST.format(runtime="", identity="full").replace('"dicom"\nbox = "cad"', '"command"\ncommand = ["x"]')
    )
    with pytest.raises(ConfigurationError, match="means nothing here"):
        loading.read(path)


@pytest.mark.parametrize(
    ("identity", "told"), [("full", "with the patient's identity"), ("pseudonym", "cannot be changed back")]
)
def test_a_site_is_told_what_a_box_learns(tmp_path: Path, identity: str, told: str) -> None:
    """Who the patients are; or pseudonyms, which stay in pixels and PDF."""
    read = loading.read(_write(tmp_path, {"cad": _box()}, identity=identity))
    assert [told in each.message for each in read.warnings] == [True]


def test_the_page_on_boxes_shows_what_works(tmp_path: Path) -> None:
    """Its plugin.toml and its lines of config.yaml, together."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "boxes.md").read_text()
    (toml,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (yaml,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "plugin.toml").write_text(toml)
    path = tmp_path / "config.yaml"
    path.write_text("node: {time_zone: UTC}\n" + yaml.replace("/opt/chest-cad", str(tmp_path)))
    read = loading.load(path)
    use = manifest.load(tmp_path).runtime.box
    assert use is not None
    assert (use.box, [each.value for each in use.expects]) == ("cad", ["sr", "sc"])
    assert read.boxes["cad"].titles == {"CADBOX", "CADOUT"}
    assert read.boxes["cad"].summary == "CADBOX at 10.0.0.20:104, answers come here, charged"


def test_nothing_of_a_box_is_run_by_the_kit(tmp_path: Path) -> None:
    """`plugin run` and `check` say so at once; `plugin new` makes none."""
    folder = tmp_path / "cad"
    folder.mkdir()
    (folder / "plugin.toml").write_text(MANIFEST.format(runtime="", identity="full"))
    with pytest.raises(UsageError, match="only a node can send images to its box"):
        chosen.choose(str(folder), None).to_run(tmp_path)
    with pytest.raises(UsageError, match="has no program"):
        writing.write(tmp_path / "new", RuntimeKind.DICOM, writing.PluginPurpose.SCORE)
