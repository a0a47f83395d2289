"""What plugins can do and learn: confinement, network, files, variables, and the identity of patients."""

from __future__ import annotations

from collections.abc import Iterator

from node.config.models import Configuration, PluginUse
from node.config.plugins import folded
from node.desk.security.row import SecurityDocument, SecurityRow, SecuritySeverity
from node.run.catalogue import SitePlugin, usable
from node.run.confinement import tried
from plugins.runtime import PatientIdentity

_GOOD, _NOTE = SecuritySeverity.GOOD, SecuritySeverity.NOTE
_WARNING, _CRITICAL = SecuritySeverity.WARNING, SecuritySeverity.CRITICAL
_OF_CONFINEMENT = {"alert": _CRITICAL, "warning": _WARNING, "": _GOOD}


def rows(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    """The confinement as it is tried here and now, then each plugin that a rule runs."""
    found = tried(configuration)
    path = ("node", "isolation")
    change = "" if configuration.node.isolation == "required" else "isolation: required"
    yield document.row("plugins", _OF_CONFINEMENT[found.severity], found.text, path, change)
    for own in found.plugins:
        severity = _OF_CONFINEMENT[own.severity]
        yield document.row("plugin", severity, f"{own.name}: {own.text}", ("plugins", own.name), "isolation: required")
    used = {folded(step.plugin) for rule in configuration.rules for step in rule.run}
    for plugin in usable(configuration).plugins.values():
        if folded(plugin.name) in used:
            yield from _granted(plugin, configuration.plugins.get(plugin.name, PluginUse()), document)
            yield from _identity(plugin, configuration, document)


def _granted(plugin: SitePlugin, use: PluginUse, document: SecurityDocument) -> Iterator[SecurityRow]:
    path, name = ("plugins", plugin.name, "allow"), plugin.name
    if use.isolation == "off":
        said = f"{name} runs in no sandbox (isolation: off)"
        yield document.row("plugin", _CRITICAL, said, ("plugins", name, "isolation"), "isolation: required")
    given = plugin.isolation.privileges
    if given.network:
        said = f"{name} connects to {', '.join(map(str, given.network))}: what it is given can leave by that"
        yield document.row("plugin", _WARNING, said, (*path, "network"), "network: []")
    if given.readable:
        said = f"{name} reads {', '.join(map(str, given.readable))}"
        yield document.row("plugin", _NOTE, said, (*path, "readable"), "readable: []")
    if given.environment:
        said = f"{name} gets the variables {', '.join(each for each, _ in given.environment)}"
        yield document.row("plugin", _NOTE, said, (*path, "environment"))
    if given.gpu:
        said = f"{name} uses the GPUs, whose memory another job may have left something in"
        yield document.row("plugin", _NOTE, said, (*path, "gpu"))
    if not (given.network or given.readable or given.environment or given.gpu) and not plugin.elsewhere:
        yield document.row("plugin", _GOOD, f"{name} gets nothing beyond its own job", ("plugins", name))


def _identity(plugin: SitePlugin, configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    own = plugin.manifest.runtime.identity
    where = f" at {plugin.elsewhere}" if plugin.elsewhere else ""
    for number, rule in enumerate(configuration.rules):
        for step in rule.run:
            asked = PatientIdentity(step.identity) if step.identity else own
            if folded(step.plugin) != folded(plugin.name):
                continue
            if asked is PatientIdentity.FULL:
                said = f"{plugin.name}{where} gets the identity of patients by the rule {rule.name} (identity: full)"
                change = f"run: {{plugin: {plugin.name}, identity: pseudonym}}"
                yield document.row("identity", _WARNING, said, ("rules", number, "run"), change)
            else:
                said = f"{plugin.name}{where} gets pseudonyms by the rule {rule.name}; burned-in text stays"
                yield document.row("identity", _GOOD, said, ("rules", number, "run"))
