"""`pacsnode serve`, `check` and `demo`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from node.cli import output, plain_meaning, site, upkeep
from node.cli.output import ExitCode, cell
from node.clock import SystemClock
from node.config import exposure, in_force
from node.config.destinations import Destination, DicomDestination, dicom_destinations
from node.config.in_force import InForce
from node.config.loading import LoadedConfiguration
from node.config.models import Configuration, StorageCommitment
from node.config.plugins import folded
from node.config.problems import ConfigurationError, Place, Problem
from node.config.values import duration_text
from node.desk import queues
from node.desk import site as sites
from node.desk.actor import who_types
from node.desk.certificates import reminders
from node.desk.words import clock_text
from node.errors import UsageError
from node.kit import readiness
from node.run import catalogue, confinement
from node.run.catalogue import Catalogue, SitePlugin
from plugins.manifest import Output
from plugins.runtime import PatientIdentity
from rules.model import Rule
from rules.timing import write_duration

_SENT = {
    PatientIdentity.PSEUDONYM: "pseudonyms instead of names, numbers and UIDs, and moved dates; what is burned into the"
    " pixels stays (usual in US, SC, XA)",
    PatientIdentity.FULL: "the images as received, with the patient's identity (identity: full)",
}


def serve(
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    allow_root: Annotated[
        bool, typer.Option("--allow-root", help="Run as root, if this user is root. Else it is refused.")
    ] = False,
) -> None:
    """Start the node. It runs until SIGTERM or Ctrl-C.

    If the file is not valid any more, the node starts with the last accepted configuration.
    """
    as_root = exposure.root_warning()
    if as_root and not allow_root:
        raise UsageError(f"{as_root}. On a machine that is for trials only: pacsnode serve --allow-root")
    from node.serve import supervisor

    try:
        loaded = sites.read(config)
        plugins = catalogue.usable(loaded.configuration)
    except ConfigurationError as problem:
        last = in_force.find(config)
        if last is None:
            raise
        running, about = last, _last_accepted(config, last, problem)
    else:
        _warn(loaded)
        running = InForce.of(loaded, SystemClock().now(), who_types().name)
        about = list(_about(loaded.configuration, plugins))
    raise typer.Exit(supervisor.serve(running, [f"{name:<12} {text}" for name, text in about]))


def _last_accepted(config: Path, last: InForce, problem: ConfigurationError) -> list[tuple[str, str]]:
    """A start with what was in force while the file was valid: what the node says of itself then."""
    output.error(str(problem))
    since = clock_text(last.since, last.configuration.node.zone, SystemClock().now())
    told = f"{config} is refused: the node starts on the configuration that was accepted {since} ({last.by})"
    output.error(told)
    plugins = catalogue.of(last.configuration)
    return [("ALERT", told), *_about(last.configuration, plugins)]


def check(
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    security: Annotated[
        bool, typer.Option("--security", help="What a security officer asks instead: a row each, with what to change.")
    ] = False,
    as_json: site.AsJson = False,
) -> None:
    """Check the configuration and say what it means.

    Each plugin that is used is started in its confinement, and its examples are run unless they passed as it is now.
    Exit code 2: it has problems, a plugin does not start or says something else of its examples, or a certificate or a
    list of revoked ones has ended. With --security, exit code 1: something is critical.
    """
    if security:
        from node.cli import security_page

        security_page.show(config, as_json=as_json)
        return
    try:
        loaded = sites.read(config)
        configuration = loaded.configuration
        plugins = catalogue.usable(configuration)
    except ConfigurationError as error:
        if not as_json:
            raise
        output.as_json({"ok": False, "problems": [plain_meaning.problem(problem) for problem in error.problems]})
        raise typer.Exit(ExitCode.USAGE) from error
    lines = [("listening", _listening(configuration)), *_about(configuration, plugins)]
    as_root = exposure.root_warning()
    ended, warnings = [*_ended(loaded), *_not_live(loaded, plugins)], _warnings(loaded)
    if as_json:
        warnings += [Problem(Place(str(config), 0, 0), "", as_root)] if as_root else []
        found = {"ok": not ended, "problems": [plain_meaning.problem(each) for each in ended]}
        found["warnings"] = [plain_meaning.problem(each) for each in warnings]
        output.as_json({**plain_meaning.of(configuration, plugins), **found})
    else:
        _print_meaning(lines, ended, warnings, as_root)
    if ended:
        raise typer.Exit(ExitCode.USAGE)


def _print_meaning(
    lines: Sequence[tuple[str, str]], ended: Sequence[Problem], warnings: Sequence[Problem], as_root: str
) -> None:
    for problem in ended:
        output.error(str(problem))
    for text in (*map(str, warnings), *([as_root] if as_root else [])):
        output.error(f"warning: {text}")
    console = output.console()
    for name, text in lines:
        console.print(cell(f"{name:<12} {text}"), soft_wrap=True)


def schema(
    rules: Annotated[bool, typer.Option("--rules", help="The schema of a file of rules instead.")] = False,
) -> None:
    """Write the JSON Schema of the configuration. Editors use it to complete keys and to underline mistakes."""
    from node.config import schema as schemas  # the whole dictionary of DICOM, which no other command needs

    typer.echo(json.dumps(schemas.rules() if rules else schemas.configuration(), indent=1, ensure_ascii=False))


def _warnings(loaded: LoadedConfiguration) -> list[Problem]:
    """What is right, and hardly meant; and what will end."""
    return [*loaded.warnings, *_reminders(loaded, "warning"), *_cancelled(loaded)]


def _cancelled(loaded: LoadedConfiguration) -> list[Problem]:
    """What waits and would not run any more once this is in force."""
    found = queues.cancelled_by(loaded.configuration)
    return [Problem(Place(str(loaded.path), 0, 0), "rules", text) for text in found.values()]


def _ended(loaded: LoadedConfiguration) -> list[Problem]:
    """What is right in itself, and refused by others, or refuses them, since it has ended."""
    return _reminders(loaded, "alert")


def _reminders(loaded: LoadedConfiguration, severity: str) -> list[Problem]:
    found = reminders(loaded.configuration, SystemClock().now())
    return [Problem(Place(str(loaded.path), 0, 0), key, text) for key, each, text in found if each == severity]


def _not_live(loaded: LoadedConfiguration, plugins: Catalogue) -> list[Problem]:
    """Plugins that are used and would not run here."""
    used = [each for each in plugins.plugins.values() if _is_used(each, loaded.configuration)]
    found = readiness.problems(loaded.configuration, used)
    return [Problem(Place(str(loaded.path), 0, 0), f"plugins.{name}", text) for name, text in found.items()]


def _is_used(plugin: SitePlugin, configuration: Configuration) -> bool:
    return plugin.name in configuration.plugins or any(_runs(rule, plugin) for rule in configuration.rules)


def _warn(loaded: LoadedConfiguration) -> None:
    for problem in (*_ended(loaded), *_warnings(loaded)):
        output.error(f"warning: {problem}")


def demo(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Your own DICOM files or folders. Default: a morning of eight phantoms."),
    ] = None,
    console: Annotated[
        bool, typer.Option("--console", help="Leave node and console running afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """Show the complete journey on this machine: studies go in, reports and their pictures come out.

    Starts a node and a small PACS in the folder `demo`. Sends the images, waits for the results and reads them back.
    Exit code 1: something is not as the truth of a study demands.
    """
    from node.cli import demo as showing

    raise typer.Exit(showing.run(paths or [], console=console))


def _about(configuration: Configuration, plugins: Catalogue) -> Iterator[tuple[str, str]]:
    """What the configuration means, one line each, without where it listens."""
    yield "data", str(configuration.node.data)
    yield "accepts", _accepted(configuration)
    for text in _quiet(configuration):
        yield "quiet", text
    for modality in configuration.modalities.values():
        if modality.storage_commitment is not None:
            yield "commits to", _committed(modality.ae_title, modality.storage_commitment)
    for plugin in plugins.plugins.values():
        yield "plugin", _plugin(plugin, configuration)
        yield "identity", _identity(plugin, configuration)
        yield "privileges", confinement.granted(plugin.name, plugin.isolation)
    for ignored in configuration.ignore:
        yield "ignores", f"{ignored.name}: {ignored.when!r}"
    for rule in configuration.rules:
        yield "rule", _rule(rule)
    if configuration.tests:
        yield "tests", f"{len(configuration.tests)} of the rules, all passed"
    if not configuration.rules:
        yield "rule", "none: studies are received and kept, and nothing is run"
    for name, destination in configuration.destinations.items():
        yield "destination", _destination(name, destination)
    yield from (("box", f"{name}: {box.summary}") for name, box in configuration.boxes.items())
    yield from (("service", f"{name}: {each.place}") for name, each in configuration.services.items())
    for name, person in configuration.people.items():
        ways = [f"e-mail ({person.email})"] if person.email else []
        yield "person", f"{name}: {', '.join([*ways, *(['webhook'] if person.webhook else [])])}"
    yield from upkeep.lines(configuration)
    confined = confinement.tried(configuration)
    yield "isolation", confined.text
    for own in confined.plugins:
        yield "isolation", f"{own.name}: {own.text}"


def _listening(configuration: Configuration) -> str:
    node = configuration.node
    listen = node.listen
    also = f", also called {', '.join(node.also_called)}" if node.also_called else ""
    ports = [] if listen.port == "off" else [f"port {listen.port or '(that the system chooses)'}"]
    if listen.tls is not None:
        ports.append(f"TLS on port {listen.tls.port} (client certificates {listen.tls.client_certificates})")
    only = ", nothing without TLS" if listen.port == "off" else ""
    return f"{node.ae_title}{also} on {listen.host} {', '.join(ports)}{only}"


def _quiet(configuration: Configuration) -> Iterator[str]:
    """How long each source has to be quiet until its study is complete; of several the longest counts."""
    completion = configuration.node.completion
    yield f"{duration_text(completion.quiet)} without a new object: then a study is complete"
    given = "" if "quiet_by_modality" in completion.model_fields_set else ", unless quiet_by_modality is given"
    for modality, quiet in completion.quiet_by_modality.items():
        yield f"{duration_text(quiet)} for a study with {modality} series{given}"
    for name, each in configuration.modalities.items():
        if each.quiet is not None:
            yield f"{duration_text(each.quiet)} for what {each.ae_title} ({name}) sends, whatever its modality"


def _committed(ae_title: str, asking: StorageCommitment) -> str:
    """`CT1, reports go to 10.1.2.3:104, once pacs has committed itself (24h at most)`."""
    wait = duration_text(asking.wait_for_archive)
    through = f", once {asking.commit_through} has committed itself ({wait} at most)" if asking.commit_through else ""
    return f"{ae_title}, reports go to {asking.host}:{asking.port}{through}"


def _accepted(configuration: Configuration) -> str:
    if configuration.node.accept == "any":
        return "any calling AE title (accept: any)"
    entries = [(name, each.ae_title) for name, each in configuration.modalities.items()]
    entries += [(name, each.ae_title) for name, each in dicom_destinations(configuration.destinations).items()]
    names: dict[str, dict[str, None]] = {}
    for name, title in entries:
        names.setdefault(title, {})[name] = None
    known = [f"{title} ({', '.join(entered)})" for title, entered in names.items()]
    return ", ".join(known) or "nobody: there are no modalities (or set node.accept: any)"


def _plugin(plugin: SitePlugin, configuration: Configuration) -> str:
    identity = plugin.manifest.identity
    users = [rule.name for rule in configuration.rules if _runs(rule, plugin)]
    used = f"used by {', '.join(users)}" if users else "not used by any rule"
    deadline, memory = plugin.limits.deadline_seconds, plugin.limits.memory_bytes / 2**30
    limits = f"at most {deadline:g} s and {memory:.1f} GiB"
    return f"{plugin.name} {identity.version} ({identity.manufacturer}), {limits}; {used}"


def _identity(plugin: SitePlugin, configuration: Configuration) -> str:
    """What it learns of who the patient is: by itself, and where rules say otherwise."""
    own = plugin.manifest.runtime.identity
    otherwise: dict[str, list[str]] = {}
    for rule in configuration.rules:
        for step in rule.run:
            if folded(step.plugin) == folded(plugin.name) and step.identity not in (None, own):
                otherwise.setdefault(str(step.identity), []).append(rule.name)
    rules = "".join(f"; by {', '.join(names)}: {_SENT[PatientIdentity(each)]}" for each, names in otherwise.items())
    hides = PatientIdentity.PSEUDONYM in (own, *otherwise)
    returns = hides and Output.DICOM in plugin.manifest.outputs
    returned = f"; of the DICOM that it returns: {readiness.NOT_MAPPED_BACK}" if returns else ""
    where = f": {plugin.service.settings.host}" if plugin.service else ""
    return f"{plugin.name}{where} gets {_SENT[own]}{rules}{returned}"


def _runs(rule: Rule, plugin: SitePlugin) -> bool:
    return any(folded(step.plugin) == folded(plugin.name) for step in rule.run)


def _rule(rule: Rule) -> str:
    told = []
    if rule.run:
        steps = ", ".join(step.plugin for step in rule.run)
        told.append(f"{steps} → {', '.join(rule.send) or 'nowhere (results stay here)'}")
    if rule.forward:
        changed = f", changing {', '.join(rule.forward.coerce)}" if rule.forward.coerce else ""
        told.append(f"images → {', '.join(rule.forward.to)}{changed}")
    if rule.notify:
        told.append(f"notifies {', '.join(dict.fromkeys(name for each in rule.notify for name in each.whom))}")
    asked = "" if rule.decide == "complete" else f", asked {'when ' if rule.growing is None else ''}{rule.decide}"
    waits = f", waits up to {write_duration(rule.wait.at_most)}" if rule.wait else ""
    enabled = "" if rule.enabled else " (disabled)"
    otherwise = ", where no other rule takes the study" if rule.otherwise else ""
    bounds = "".join(f", {each}" for each in _bounds(rule))
    return f"{rule.name}: {'; '.join(told)}, {rule.mode}, {rule.priority}{asked}{waits}{otherwise}{bounds}{enabled}"


def _bounds(rule: Rule) -> Iterator[str]:
    """How often the rule runs, and when."""
    if rule.once != "revision":
        yield f"once a {rule.once}"
    if rule.sample:
        yield f"on {rule.sample.share * 100:g} % of the studies"
    if rule.limits and rule.limits.enrolled:
        yield f"until {rule.limits.enrolled} studies are enrolled"
    if rule.limits and rule.limits.per_day:
        yield f"at most {rule.limits.per_day} studies a day"
    if rule.limits and rule.limits.cool_down:
        yield f"once a patient in {write_duration(rule.limits.cool_down)}"
    for word, windows in (("open", rule.hours.open), ("closed", rule.hours.closed)) if rule.hours else ():
        if windows:
            yield f"{word} {'; '.join(map(str, windows))}"
    if rule.hours and rule.hours.otherwise == "skip":
        yield "skipped at other times"


def _destination(name: str, destination: Destination) -> str:
    checked = "checked" if destination.identity_check == "study" else "NOT checked"
    asked = f"identity {checked} before sending" if destination.asks_by else "identity NOT checked: it cannot be asked"
    patience = duration_text(destination.retry.give_up_after)
    read = f"for {destination.audience}, {destination.encoding.sr_class} SR"
    return f"{name}: {destination.place}, {read}, {asked}, tried for {patience}{_kept(destination)}"


def _kept(destination: Destination) -> str:
    """`, storage commitment required within 24h`; nothing where it is not asked."""
    if destination.time_to_commit is None or not isinstance(destination, DicomDestination):
        return ""
    how = "required" if destination.commitment == "require" else "tried"
    return f", storage commitment {how} (an alert after {duration_text(destination.commit_within)})"
