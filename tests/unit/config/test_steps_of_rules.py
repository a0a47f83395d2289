"""What the manifests of plugins say against the steps of a rule."""

from __future__ import annotations

import pytest

from node.config.loading import read
from tests.support.sites.configurations import MANIFEST, SITE, Write, rule, told

WITH_PDF = SITE.replace("port: 104}", "port: 104, kinds: [sr, sc, pdf]}")
NIFTI = """
[nifti.labels]
file = "seg.nii.gz"

[[nifti.segments]]
label = 1
name = "Liver"
type = {value = "10200004", scheme = "SCT", meaning = "Liver"}
"""
CHAIN = "[mine, {plugin: mine, step: later, inputs: {mask: mine}}]"
PROGRAM = 'kind = "command"\n'


def _manifest(site: Write, outputs: str, identity: str = "pseudonym") -> None:
    """Rewrite the manifest of `mine`."""
    path = site("").parent / "mine" / "plugin.toml"
    told_identity = f'{PROGRAM}identity = "{identity}"\n'
    path.write_text(MANIFEST.replace('["findings"]', outputs).replace(PROGRAM, told_identity))


@pytest.mark.parametrize(
    ("outputs", "refused"),
    [
        ('["findings"]', False),
        ('["segmentation"]', False),
        ('["pictures", "segmentation"]', False),
        ('["heatmaps", "pictures", "key_images", "documents", "dicom"]', True),
    ],
)
def test_a_result_with_nothing_to_take_is_refused_where_it_is_taken(write: Write, outputs: str, refused: bool) -> None:
    """Only findings and a segmentation are handed on; the message stands at the input and names the plugin."""
    _manifest(write, outputs)
    found = told(write(f"{SITE}rules:{rule(run=CHAIN)}"))
    assert [path for _, path, _ in found] == (["rules[0].run[1].inputs.mask"] if refused else [])
    assert all("mine returns neither findings nor a segmentation" in text for *_, text in found)


def test_a_step_that_runs_an_unknown_plugin_is_said_once(write: Write) -> None:
    """At its name, and not again where its result is taken."""
    unknown = "[{plugin: mime, step: first}, {plugin: mine, inputs: {mask: first}}]"
    [(_, path, text)] = told(write(f"{SITE}rules:{rule(run=unknown)}"))
    assert (path, text) == ("rules[0].run[0].plugin", 'there is no plugin "mime" → mine')


@pytest.mark.parametrize(
    ("outputs", "identity", "run", "send", "warned"),
    [
        ('["documents"]', "pseudonym", "mine", "pacs", True),
        ('["documents"]', "pseudonym", "[{plugin: mine}]", "[research, pacs]", True),
        ('["documents"]', "full", "{plugin: mine, identity: pseudonym}", "pacs", True),
        ('["documents"]', "pseudonym", "{plugin: mine, identity: full}", "pacs", False),
        ('["documents"]', "full", "mine", "pacs", False),
        ('["documents"]', "pseudonym", "mine", "research", False),
        ('["findings"]', "pseudonym", "mine", "pacs", False),
    ],
)
def test_documents_under_pseudonyms_are_warned_of(
    write: Write, outputs: str, identity: str, run: str, send: str, warned: bool
) -> None:
    """Only where a destination gets them: their pages name nobody, and the node cannot change that."""
    _manifest(write, outputs, identity)
    loaded = read(write(f"{WITH_PDF}rules:{rule(run=run, send=send)}"))
    found = [(each.yaml_path, each.message) for each in loaded.warnings if "PDF documents" in each.message]
    assert [path for path, _ in found] == (["rules[0].run"] if warned else [])
    assert all("mine makes PDF documents and knows the patient by a pseudonym" in text for _, text in found)


def test_a_program_that_reads_none_is_given_none(write: Write) -> None:
    """NIfTI programs get images alone: what they would take is refused at its step, not left out in silence."""
    path = write("").parent / "mine" / "plugin.toml"
    site = write(f"{SITE}rules:{rule(run=CHAIN)}")
    told_exchange = f'{PROGRAM}exchange = "nifti"\n'
    text = MANIFEST.replace(PROGRAM, told_exchange).replace('["findings"]', '["findings", "segmentation"]')
    path.write_text(text + NIFTI)
    [(_, place, text)] = told(site)
    assert (place, text) == ("rules[0].run[1].inputs", 'mine gets images alone: its exchange is "nifti"')


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("mask", []),
        ("lungs", ["rules[0].run[0]", "rules[0].run[1]", "rules[0].run[1].inputs.mask"]),
    ],
)
def test_the_masks_of_a_nifti_program_are_those_that_the_rule_gives(write: Write, named: str, found: list[str]) -> None:
    """One that nothing is given for, and one that no file is made of, are said at the step."""
    path = write("").parent / "mine" / "plugin.toml"
    first = MANIFEST.replace('["findings"]', '["segmentation"]')
    (path.parent.parent / "first").mkdir()
    (path.parent.parent / "first" / "plugin.toml").write_text(first)
    text = MANIFEST.replace(PROGRAM, f'{PROGRAM}exchange = "nifti"\n')
    path.write_text(f'{text}{NIFTI}\n[[nifti.masks]]\nresult = "{named}"\n')
    site = SITE.replace("plugins:", "plugins:\n  first: {folder: first}")
    chain = "[first, {plugin: mine, inputs: {mask: first}}]" if named == "mask" else CHAIN
    assert [place for _, place, _ in told(write(f"{site}rules:{rule(run=chain)}"))] == found
