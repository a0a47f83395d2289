"""`pacsnode serve`, `check` and `demo`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli import output, site
from node.cli.output import Exit, cell
from node.clock import SystemClock
from node.config.in_force import InForce
from node.config.loading import Loaded
from node.config.models import Configuration, Destination, StorageCommitment
from node.config.problems import ConfigurationError, Problem
from node.config.values import duration_text
from node.desk import site as sites
from node.desk.actor import who_types
from node.run import catalogue, confinement
from node.run.catalogue import Catalogue, SitePlugin
from rules.model import Rule
from rules.timing import write_duration


def serve(config: site.ConfigPath = site.DEFAULT_CONFIG) -> None:
    """Start the node. It runs until SIGTERM or Ctrl-C."""
    from node.serve import supervisor

    loaded = sites.read(config)
    _warn(loaded)
    lines = [
        f"{name:<12} {text}" for name, text in _about(loaded.configuration, catalogue.usable(loaded.configuration))
    ]
    in_force = InForce.of(loaded, SystemClock().now(), who_types().name)
    raise typer.Exit(supervisor.serve(in_force, lines))


def check(config: site.ConfigPath = site.DEFAULT_CONFIG, as_json: site.AsJson = False) -> None:
    """Check the configuration and say what it means. Exit code 2: it has problems."""
    try:
        loaded = sites.read(config)
        configuration = loaded.configuration
        plugins = catalogue.usable(configuration)
    except ConfigurationError as error:
        if not as_json:
            raise
        output.as_json({"ok": False, "problems": [_plain(problem) for problem in error.problems]})
        raise typer.Exit(Exit.USAGE) from error
    lines = [("listening", _listening(configuration)), *_about(configuration, plugins)]
    if as_json:
        warnings = [_plain(problem) for problem in loaded.warnings]
        output.as_json({**_meaning(configuration, plugins), "warnings": warnings})
        return
    _warn(loaded)
    console = output.console()
    for name, text in lines:
        console.print(cell(f"{name:<12} {text}"), soft_wrap=True)


def schema(
    rules: Annotated[bool, typer.Option("--rules", help="The schema of a file of rules instead.")] = False,
) -> None:
    """Write the JSON Schema of the configuration. Editors use it to complete keys and to underline mistakes."""
    from node.config import schema as schemas  # the whole dictionary of DICOM, which no other command needs

    typer.echo(json.dumps(schemas.rules() if rules else schemas.configuration(), indent=1, ensure_ascii=False))


def _warn(loaded: Loaded) -> None:
    for problem in loaded.warnings:
        output.error(f"warning: {problem}")


def demo(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Your own DICOM files or folders. Default: the chest CT of a phantom."),
    ] = None,
) -> None:
    """Show the complete journey on this machine: a chest CT goes in, the report and its pictures come out.

    Starts a node and a small PACS in the folder `demo`. Sends the series, waits for the results and reads them back.
    """
    from node.cli import demo as showing

    raise typer.Exit(showing.run(paths or []))


def _about(configuration: Configuration, plugins: Catalogue) -> Iterator[tuple[str, str]]:
    """What the configuration means, one line each, without where it listens."""
    yield "data", str(configuration.node.data)
    yield "accepts", _accepted(configuration)
    for modality in configuration.modalities.values():
        if modality.storage_commitment is not None:
            yield "commits to", _committed(modality.ae_title, modality.storage_commitment)
    for plugin in plugins.plugins.values():
        yield "plugin", _plugin(plugin, configuration)
    for rule in configuration.rules:
        yield "rule", _rule(rule)
    if configuration.tests:
        yield "tests", f"{len(configuration.tests)} of the rules, all passed"
    if not configuration.rules:
        yield "rule", "none: studies are received and kept, and nothing is run"
    for name, destination in configuration.destinations.items():
        yield "destination", _destination(name, destination)
    for name, person in configuration.people.items():
        ways = [f"e-mail ({person.email})"] if person.email else []
        yield "person", f"{name}: {', '.join([*ways, *(['webhook'] if person.webhook else [])])}"
    yield "isolation", confinement.tried().text


def _listening(configuration: Configuration) -> str:
    node = configuration.node
    listen = node.listen
    port = str(listen.port) if listen.port else "(a port that the system chooses)"
    also = f", also called {', '.join(node.also_called)}" if node.also_called else ""
    tls = (
        f", TLS on port {listen.tls.port} (client certificates {listen.tls.client_certificates})" if listen.tls else ""
    )
    return f"{node.ae_title}{also} on {listen.host} port {port}{tls}"


def _committed(ae_title: str, asking: StorageCommitment) -> str:
    """`CT1, reports go to 10.1.2.3:104, once pacs has committed itself (24h at most)`."""
    wait = duration_text(asking.wait_for_archive)
    through = f", once {asking.commit_through} has committed itself ({wait} at most)" if asking.commit_through else ""
    return f"{ae_title}, reports go to {asking.host}:{asking.port}{through}"


def _accepted(configuration: Configuration) -> str:
    if configuration.node.accept == "any":
        return "any calling AE title (accept: any)"
    known = [f"{each.ae_title} ({name})" for name, each in configuration.modalities.items()]
    known += [f"{each.ae_title} ({name})" for name, each in configuration.destinations.items()]
    return ", ".join(known) or "nobody: there are no modalities (or set node.accept: any)"


def _plugin(plugin: SitePlugin, configuration: Configuration) -> str:
    identity = plugin.manifest.identity
    users = [rule.name for rule in configuration.rules if _runs(rule, plugin)]
    used = f"used by {', '.join(users)}" if users else "not used by any rule"
    deadline, memory = plugin.limits.deadline_seconds, plugin.limits.memory_bytes / 2**30
    limits = f"at most {deadline:g} s and {memory:.1f} GiB"
    return f"{plugin.name} {identity.version} ({identity.manufacturer}), {limits}; {used}"


def _runs(rule: Rule, plugin: SitePlugin) -> bool:
    return any(step.plugin.replace("_", "-") == plugin.name.replace("_", "-") for step in rule.run)


def _rule(rule: Rule) -> str:
    told = []
    if rule.run:
        steps = ", ".join(step.plugin for step in rule.run)
        told.append(f"{steps} → {', '.join(rule.send) or 'nowhere (results stay here)'}")
    if rule.forward:
        changed = f", changing {', '.join(rule.forward.coerce)}" if rule.forward.coerce else ""
        told.append(f"images → {', '.join(rule.forward.to)}{changed}")
    if rule.notify:
        told.append(f"notifies {', '.join(rule.notify.whom)}")
    asked = "" if rule.decide == "complete" else f", asked {'when ' if rule.growing is None else ''}{rule.decide}"
    waits = f", waits up to {write_duration(rule.wait.at_most)}" if rule.wait else ""
    enabled = "" if rule.enabled else " (disabled)"
    return f"{rule.name}: {'; '.join(told)}, {rule.mode}, {rule.priority}{asked}{waits}{enabled}"


def _destination(name: str, destination: Destination) -> str:
    where = f"{destination.ae_title} at {destination.host}:{destination.port}{' over TLS' if destination.tls else ''}"
    checked = "checked" if destination.identity_check == "study" else "NOT checked"
    asked = f"identity {checked} before sending"
    patience = duration_text(destination.retry.give_up_after)
    return f"{name}: {where}, for {destination.audience}, {destination.sr_class} SR, {asked}, tried for {patience}"


def _plain(problem: Problem) -> dict[str, Any]:
    place = problem.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "yaml_path": problem.yaml_path,
        "message": problem.message,
        "suggestion": problem.suggestion,
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
    return {
        "ae_title": destination.ae_title,
        "host": destination.host,
        "port": destination.port,
        "audience": destination.audience,
        "identity_check": destination.identity_check,
    }


def _meaning(configuration: Configuration, plugins: Catalogue) -> dict[str, Any]:
    node = configuration.node
    confined = confinement.tried()
    return {
        "ok": True,
        "problems": [],
        "listening": {
            "ae_titles": [node.ae_title, *node.also_called],
            "host": node.listen.host,
            "port": node.listen.port,
            "tls_port": node.listen.tls.port if node.listen.tls else None,
        },
        "data": str(node.data),
        "accept": node.accept,
        "plugins": {name: plugin.manifest.identity.version for name, plugin in plugins.plugins.items()},
        "rules": {rule.name: _plain_rule(rule) for rule in configuration.rules},
        "tests": len(configuration.tests),
        "destinations": {name: _plain_destination(each) for name, each in configuration.destinations.items()},
        "people": {
            name: {"email": each.email, "webhook": each.webhook.url if each.webhook else None}
            for name, each in configuration.people.items()
        },
        "isolated": confined.isolated,
        "isolation": confined.text,
    }
