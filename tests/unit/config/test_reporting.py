"""What a rule says about sending its results is held against who reads them."""

from __future__ import annotations

import pytest

from tests.support.configurations import SITE, Write, rule, told


@pytest.mark.parametrize(
    ("sent", "send", "message"),
    [
        ("[findings]", "pacs", "would not be told of failed: add failed"),
        ("no_findings", "pacs", "would not be told of findings and failed"),
        ("[findings, failed]", "pacs", "could not tell no_findings from not_applicable"),
        ("[findings, failed, not_applicable]", "pacs", None),
        ("[findings, no_findings, failed]", "pacs", None),
        ("findings", "research", None),
        ("findings", "[research, pacs]", "would not be told of failed"),
    ],
)
def test_silence_may_mean_one_thing_only(write: Write, sent: str, send: str, message: str | None) -> None:
    """Readers are told of findings and failures, and what nothing means is never in doubt; an evaluation takes any."""
    found = told(write(f"{SITE}rules:{rule(send=send)}    send_when: {sent}\n"))
    if message is None:
        assert found == []
    else:
        [(_, path, text)] = found
        assert path == "rules[0].send_when"
        assert message in text
