"""What `check` says with `--json`."""

from __future__ import annotations

from typing import Any

from node.cli import upkeep
from node.config.boxes import VendorBox
from node.config.destinations import Destination
from node.config.models import Configuration
from node.config.problems import Problem
from node.config.values import duration_text
from node.run import confinement
from node.run.catalogue import Catalogue
from rules.model import Rule

_OF_DESTINATION = ("kind", "ae_title", "host", "port", "url", "folder", "audience", "identity_check")
"""What `--json` says of a destination, as far as one of its kind has it."""


def problem(found: Problem) -> dict[str, Any]:
    """One problem, and its place."""
    place = found.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "yaml_path": found.yaml_path,
        "message": found.message,
        "suggestion": found.suggestion,
        "source": place.source,
    }


def _plain_rule(rule: Rule) -> dict[str, Any]:
    return {
        "enabled": rule.enabled,
        "run": [step.plugin for step in rule.run],
        "send": list(rule.send),
        "mode": rule.mode,
        "priority": rule.priority,
    }


def _plain_destination(destination: Destination) -> dict[str, Any]:
    plain = destination.model_dump(include=set(_OF_DESTINATION))
    return {key: plain[key] for key in _OF_DESTINATION if key in plain}


def _plain_box(box: VendorBox) -> dict[str, Any]:
    return {
        "ae_title": box.ae_title,
        "host": box.host,
        "port": box.port,
        "answering": sorted(box.titles),
        "answers": {"from": box.archive} if box.archive else box.answers,
        "charged": box.charged,
    }


def of(configuration: Configuration, plugins: Catalogue) -> dict[str, Any]:
    """What a configuration without problems means."""
    node = configuration.node
    confined = confinement.tried(configuration)
    return {
        "ok": True,
        "problems": [],
        "listening": {
            "ae_titles": [node.ae_title, *node.also_called],
            "host": node.listen.host,
            "port": None if node.listen.port == "off" else node.listen.port,
            "tls_port": node.listen.tls.port if node.listen.tls else None,
        },
        "data": str(node.data),
        "accept": node.accept,
        "quiet": {
            "default": duration_text(node.completion.quiet),
            "by_modality": {name: duration_text(each) for name, each in node.completion.quiet_by_modality.items()},
            "by_sender": {
                name: duration_text(each.quiet)
                for name, each in configuration.modalities.items()
                if each.quiet is not None
            },
        },
        "plugins": {name: plugin.manifest.identity.version for name, plugin in plugins.plugins.items()},
        "identity": {name: plugin.manifest.runtime.identity for name, plugin in plugins.plugins.items()},
        "rules": {rule.name: _plain_rule(rule) for rule in configuration.rules},
        "tests": len(configuration.tests),
        "destinations": {name: _plain_destination(each) for name, each in configuration.destinations.items()},
        "boxes": {name: _plain_box(each) for name, each in configuration.boxes.items()},
        "people": {
            name: {"email": each.email, "webhook": each.webhook.url if each.webhook else None}
            for name, each in configuration.people.items()
        },
        **upkeep.plain(configuration),
        "privileges": {name: confinement.granted(name, each.isolation) for name, each in plugins.plugins.items()},
        "isolated": confined.isolated,
        "isolation": confined.text,
        "isolation_of": {each.name: each.text for each in confined.plugins},
    }
