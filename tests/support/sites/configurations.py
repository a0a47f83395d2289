"""Configurations for tests: text to put together, and what `load` says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from node.config.destinations import Destination
from node.config.loading import load
from node.config.models import Configuration
from node.config.problems import ConfigurationError, Problem
from rules.model import Rule

RULE = """
  - name: {name}
    when: {{Modality: CT}}
    choose: {{where: {{Modality: CT}}}}
    run: {run}
    send: {send}
    mode: {mode}
"""


def rule(name: str = "r1", run: str = "mine", send: str = "pacs", mode: str = "pilot") -> str:
    """A right rule, as one entry of `rules`."""
    return RULE.format(name=name, run=run, send=send, mode=mode)


MANIFEST = """\
schema = 1
outputs = ["findings"]

[identity]
name = "mine"
version = "2.1"
manufacturer = "us"
intended_use = "tests"

[runtime]
kind = "command"
command = ["run"]

[[concepts]]
value = "1"
scheme = "99TEST"
meaning = "One"

[parameters.threshold]
default = 0.5
description = "from which on"
minimum = 0.0
maximum = 1.0
"""
SITE = """\
node:
  time_zone: Asia/Seoul
destinations:
  pacs: {ae_title: PACS, host: 10.0.0.9, port: 104}
  research: {ae_title: RESEARCH, host: 10.0.0.9, port: 105, audience: evaluation}
plugins:
  mine: {folder: mine}
"""

Write = Callable[[str], Path]


def problems(path: Path) -> list[Problem]:
    """What is wrong with a configuration; none where it loads."""
    try:
        load(path)
    except ConfigurationError as error:
        return list(error.problems)
    return []


def told(path: Path) -> list[tuple[int, str, str]]:
    """Line, YAML path and message (with what was meant) of every problem."""
    return [
        (each.place.line, each.yaml_path, each.message + (f" → {each.suggestion}" if each.suggestion else ""))
        for each in problems(path)
    ]


def ruled(
    rules: Iterable[Rule] = (),
    zone: ZoneInfo | str = "Asia/Seoul",
    destinations: Mapping[str, Destination] | None = None,
) -> Configuration:
    """A configuration with these rules, as the stage `route` uses it."""
    plain = Configuration.model_validate({"node": {"time_zone": str(zone)}})
    return plain.model_copy(update={"rules": tuple(rules), "destinations": dict(destinations or {})})


def with_slots(jobs_at_once: int) -> Configuration:
    """A configuration with room for this many jobs, as the stage `run` uses it."""
    return Configuration.model_validate({"node": {"time_zone": "Asia/Seoul", "jobs_at_once": jobs_at_once}})


def with_destinations(ae_title: str = "PACSNODE", **destinations: Destination) -> Configuration:
    """A configuration with these destinations, for what calls them."""
    plain = Configuration.model_validate({"node": {"time_zone": "Asia/Seoul", "ae_title": ae_title}})
    return plain.model_copy(update={"destinations": destinations})
