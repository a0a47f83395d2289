"""Adding an entry to a configuration file keeps everything else as it was written."""

from __future__ import annotations

import pytest

from node.config import entering
from node.errors import PermanentError

ADDRESSES = ("modalities", "ct1", "addresses")
VALUE = {"ae_title": "CT9", "addresses": ["10.0.0.7"]}
WRITTEN = "{ae_title: 'CT9', addresses: ['10.0.0.7']}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "modalities:\n  ct1: {ae_title: CT1, addresses: [10.0.0.1]} # old\n# end\n",
            "modalities:\n  ct1: {ae_title: CT1, addresses: [10.0.0.1, '10.0.0.7']} # old\n# end\n",
        ),
        (
            "modalities:\n  ct1:\n    addresses:\n      - 10.0.0.1 # the old one\n\n    ae_title: CT1\n",
            "modalities:\n  ct1:\n    addresses:\n      - 10.0.0.1 # the old one\n"
            "      - '10.0.0.7'\n\n    ae_title: CT1\n",
        ),
        (
            "modalities:\n  ct1:\n    ae_title: CT1 # wing B\nnode: {}\n",
            "modalities:\n  ct1:\n    ae_title: CT1 # wing B\n    addresses: ['10.0.0.7']\nnode: {}\n",
        ),
        (
            "modalities: {ct1: {ae_title: CT1}}",
            "modalities: {ct1: {ae_title: CT1, addresses: ['10.0.0.7']}}",
        ),
        ("modalities:\n  ct1: {addresses: []}\n", "modalities:\n  ct1: {addresses: ['10.0.0.7']}\n"),
    ],
)
def test_an_address_is_added_where_the_list_is(before: str, after: str) -> None:
    """In the form in which the list, or the section around it, is written."""
    assert entering.with_item(before, ADDRESSES, "10.0.0.7") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("node: {}\n# end\n", f"node: {{}}\nmodalities: {{ct9: {WRITTEN}}}\n# end\n"),
        ("modalities:\nnode: {}\n", f"modalities: {{ct9: {WRITTEN}}}\nnode: {{}}\n"),
        ("modalities: {}\n", f"modalities: {{ct9: {WRITTEN}}}\n"),
        (
            "modalities:\n  # wing A\n  ct1:\n    ae_title: CT1\nnode: {}\n",
            f"modalities:\n  # wing A\n  ct1:\n    ae_title: CT1\n  ct9: {WRITTEN}\nnode: {{}}\n",
        ),
        ("modalities:\n  ct1: {ae_title: CT1}", f"modalities:\n  ct1: {{ae_title: CT1}}\n  ct9: {WRITTEN}\n"),
    ],
)
def test_a_section_gets_an_entry(before: str, after: str) -> None:
    """Whether it has some, has none, or is not there."""
    assert entering.with_entry(before, ("modalities", "ct9"), VALUE, WRITTEN) == after


def test_what_would_change_anything_else_is_left_to_a_person() -> None:
    """A list that two entries share by an alias; an entry that is there; a list that is a text."""
    shared = "modalities:\n  ct1: {addresses: &all [10.0.0.1]}\n  ct2: {addresses: *all}\n"
    with pytest.raises(PermanentError, match="by hand"):
        entering.with_item(shared, ADDRESSES, "10.0.0.7")
    with pytest.raises(PermanentError, match="by hand"):
        entering.with_entry("modalities: {ct9: {}}\n", ("modalities", "ct9"), VALUE, WRITTEN)
    with pytest.raises(PermanentError, match="not a list"):
        entering.with_item("modalities: {ct1: {addresses: 10.0.0.1}}\n", ADDRESSES, "10.0.0.7")
