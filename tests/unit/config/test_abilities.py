"""What rules can say and this node cannot do is refused, with its place; what it can loads."""

from __future__ import annotations

from node.config.loading import load
from tests.support.sites.configurations import SITE, Write, rule, told


def test_an_earlier_study_is_not_fetched_for_a_study_that_grows(write: Write) -> None:
    """Refused at its line, also where the rule is switched off, as it may be switched on."""
    text = "    enabled: false\n    decide: every 5 minutes\n    prior: {source: pacs, within: 2 years}\n"
    [(line, path, message)] = told(write(f"{SITE}rules:{rule()}{text}"))
    assert path == "rules[0].prior"
    assert line == f"{SITE}rules:{rule()}".count("\n") + 3
    assert "decide: complete" in message


def test_what_is_built_loads(write: Write) -> None:
    """Samples, limits, hours, once, steps after steps."""
    text = """\
    once: study
    sample: 20 %
    limits: {enrolled: 400, per_day: 200, cool_down: 6 hours}
    hours:
      open: [{days: [monday, friday], between: ["08:00", "18:00"]}]
      closed: [{dates: [2026-12-25]}]
    decide: series complete
    send_when: [findings, no_findings, failed]
    wait: {until: {Modality: SR}, at_most: 20 minutes}
    expires: {after: 2 hours, then: withhold}
"""
    (found,) = load(write(f"{SITE}rules:{rule()}{text}")).rules
    assert found.limits is not None
    assert (found.limits.enrolled, found.once) == (400, "study")


def test_a_mistake_inside_of_what_is_new_is_told_with_its_place(write: Write) -> None:
    """Line and path of the value."""
    [(_, path, message)] = told(write(f"{SITE}rules:{rule()}    limits: {{per_dya: 3}}\n"))
    assert path == "rules[0].limits.per_dya"
    assert "per_day" in message
