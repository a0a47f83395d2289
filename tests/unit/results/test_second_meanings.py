"""What codes are called on pages in another language, from the plugin to the page; objects stay English."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from node.config.encoding import EncodingProfile
from node.results.pages.meanings import meaning, segment_name
from node.results.texts import ENGLISH, KOREAN
from plugins import exchange
from plugins.contract import Code, Finding, Measurement, Result, Site, Unit
from plugins.exchange import PluginReference, Request, RequestFacts
from plugins.lung_density import codes
from plugins.lung_density.plugin import SEGMENTS
from tests.support.results import reports
from tests.support.results.page_words import canvases_of, context_of, words_of

ACME = Code("LESION", "99ACME", "Focal lesion", meanings=(("ko", "국소 병변"),))


def _codes() -> list[Code]:
    """All codes of the built-in plugin."""
    sites = [each for each in vars(codes).values() if isinstance(each, Site)]
    return [
        *(each for each in vars(codes).values() if isinstance(each, Code)),
        *(site.region for site in sites),
    ]


@pytest.mark.parametrize("code", _codes(), ids=lambda code: code.value)
def test_finding_r9_each_code_of_the_built_in_plugin_is_korean_on_korean_pages(code: Code) -> None:
    """By the plugin or by the list of common codes; in English it is what the objects say."""
    assert any("\uac00" <= letter <= "\ud7a3" for letter in meaning(code, KOREAN))
    assert meaning(code, ENGLISH) == code.meaning
    assert code.meaning.isascii()


def test_finding_r9_second_meanings_come_through_the_exchange(tmp_path: Path) -> None:
    """What a plugin's process writes is what the node reads; a code without any reads as before."""
    finding = Finding(ACME, present=True, measurements=(Measurement(codes.VOLUME, 1.0, Unit("mL", "milliliter")),))
    (tmp_path / exchange.OUT).mkdir()
    exchange.write_result(tmp_path, replace(reports.measured(), findings=(finding,)))
    written = json.loads((tmp_path / exchange.OUT / exchange.RESULT).read_text())
    assert written["findings"][0]["code"]["meanings"] == [["ko", "국소 병변"]]
    request = Request("job", PluginReference("acme", "1", str(tmp_path)), RequestFacts("1.2"), ())
    read: Result = exchange.read_result(tmp_path, request)
    assert read.findings[0].code.meanings == (("ko", "국소 병변"),)
    assert read.findings[0].measurements[0].concept.meanings == ()


def test_finding_r9_pages_are_korean_and_objects_english(tmp_path: Path) -> None:
    """The page calls a finding as the plugin does in Korean; no object has a letter of it in a coded meaning."""
    result = replace(reports.no_findings(), findings=(Finding(ACME, present=False),))
    paths = reports.write_series("ct", tmp_path / "in")
    korean = EncodingProfile(language="ko")
    assert "국소병변" in words_of(canvases_of(context_of(paths, result, profile=korean)))
    assert "Focallesion" in words_of(canvases_of(context_of(paths, result)))
    request = reports.request(paths, result, profile=korean)
    for one in reports.whole(request, tmp_path / "out"):
        meanings = [str(each.value) for each in dcmread(one.path).iterall() if each.keyword == "CodeMeaning"]
        assert all(each.isascii() for each in meanings), one.kind


def test_finding_r9_segments_are_named_in_korean_where_their_label_is_what_they_are() -> None:
    """The built-in plugin's lungs are Korean below the picture; a label of its own stays as the plugin wrote it."""
    lungs = (*SEGMENTS, replace(SEGMENTS[0], number=3, label="Lung A"))
    assert [segment_name(each, KOREAN) for each in lungs] == ["오른쪽 폐", "왼쪽 폐", "Lung A"]
    assert [segment_name(each, ENGLISH) for each in lungs] == ["Right lung", "Left lung", "Lung A"]
