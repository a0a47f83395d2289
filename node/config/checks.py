"""What one section of a configuration says of another: a rule names a plugin, a destination is not ourselves.

The checks read the plain values, not the models: so they tell everything at once, also where a
section has other problems. What has the wrong shape is left to the models' own complaint.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from node.config import (
    abilities,
    allowing,
    box_checks,
    coercions,
    destination_checks,
    dictionary,
    plugins,
    reporting,
    steps_of_rules,
    tls_checks,
)
from node.config.allowing import PluginGrants
from node.config.destinations import Destination
from node.config.models import AssociationLimits, Listen, PluginUse
from node.config.problems import Problem, closest
from node.config.sections import FOLDER
from node.config.service_checks import problems_of_services, warnings_of_services
from node.config.source import Document, YamlPath
from node.config.values import is_mapping, parse_size, section
from node.dimse.revocation import without_list
from plugins.manifest import MANIFEST, Manifest, ParameterError
from plugins.manifest_table import ManifestError


def problems(document: Document, folder: Path) -> Iterator[Problem]:
    """Every contradiction between sections; `folder` is where relative paths begin."""
    yield from _node(document)
    yield from _retention(document)
    yield from _backup(document, folder)
    yield from tls_checks.problems(document, ("console", "tls"), section(document.value, "console", "tls"), folder)
    yield from reporting.files(document, ("console",), section(document.value, "console"), folder)
    yield from _modalities(document)
    yield from destination_checks.problems(document, folder)
    manifests = _Manifests(document, folder)
    yield from manifests.problems
    yield from box_checks.problems(document, manifests.get)
    yield from problems_of_services(document, manifests.get, folder)
    yield from reporting.people(document, folder)
    for path, tls in _every_tls(document):
        yield from tls_checks.problems(document, path, tls, folder)
    yield from _rules(document, manifests)
    yield from _stop_rules(document, manifests)


def warnings(document: Document, folder: Path) -> Iterator[Problem]:
    """Revocation lists that an authority lacks; what boxes and services learn; documents made under pseudonyms."""
    for path, tls in _every_tls(document):
        trusted, revoked = tls.get("authorities"), tls.get("revoked")
        if not isinstance(trusted, str) or not isinstance(revoked, str):
            continue
        with contextlib.suppress(OSError):  # who asks is not always who serves
            for name in without_list(folder / trusted, folder / revoked):
                message = f"there is no list by {name}: every certificate that it signed itself is refused"
                yield document.problem((*path, "revoked"), message)
    yield from destination_checks.warnings(document)
    yield from box_checks.warnings(document, _Manifests(document, folder).get)
    yield from warnings_of_services(document, _Manifests(document, folder).get)
    yield from steps_of_rules.warnings(document, _Manifests(document, folder).get_known)


def _every_tls(document: Document) -> Iterator[tuple[YamlPath, Mapping[str, Any]]]:
    """Every section that says what a connection over TLS rests on."""
    yield ("node", "listen", "tls"), section(document.value, "node", "listen", "tls")
    for name, modality in _sections(document, "modalities").items():
        yield ("modalities", name, "storage_commitment", "tls"), section(modality, "storage_commitment", "tls")
    for name, destination in _sections(document, "destinations").items():
        yield ("destinations", name, "tls"), section(destination, "tls")
        if destination.get("kind") == destination_checks.BY_HTTP:  # has these keys itself
            yield ("destinations", name), destination
    for name, box in _sections(document, "boxes").items():
        yield ("boxes", name, "tls"), section(box, "tls")


def _sections(document: Document, name: str) -> dict[str, Mapping[str, Any]]:
    """The named parts of a section, as far as they are mappings."""
    return {key: part for key, part in section(document.value, name).items() if is_mapping(part)}


def _node(document: Document) -> Iterator[Problem]:
    for modality in section(document.value, "node", "completion", "quiet_by_modality"):
        if modality not in dictionary.modalities():
            path = ("node", "completion", "quiet_by_modality", modality)
            meant = closest(modality, dictionary.modalities())
            yield document.problem(path, f'"{modality}" is not a Modality (PS3.3 C.7.3.1.1.1)', meant, key=True)
    listen = section(document.value, "node", "listen")
    tls = section(listen, "tls")
    if tls.get("port") is not None and tls.get("port") == listen.get("port", Listen().port):
        yield document.problem(("node", "listen", "tls", "port"), "TLS needs a port of its own")


def _retention(document: Document) -> Iterator[Problem]:
    """Space has to be made before associations are refused for want of it."""
    with contextlib.suppress(ValueError, TypeError, KeyError):  # absent, or of a wrong shape
        below = parse_size(section(document.value, "retention")["below"])
        stays = section(document.value, "node", "limits").get("free_space")
        least = AssociationLimits().free_space if stays is None else parse_size(stays)
        if below <= least:
            message = "not above node.limits.free_space: associations would be refused before anything goes"
            yield document.problem(("retention", "below"), message)


def _backup(document: Document, folder: Path) -> Iterator[Problem]:
    """Backups inside the data folder, or around it, would each hold the ones before."""
    with contextlib.suppress(TypeError, KeyError):  # absent, or of a wrong shape
        target = (folder / section(document.value, "backup")["to"]).resolve()
        data = (folder / section(document.value, "node")["data"]).resolve()
        if target.is_relative_to(data) or data.is_relative_to(target):
            yield document.problem(("backup", "to"), f"backups cannot be inside node.data ({data}), nor around it")


def _modalities(document: Document) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    listening = section(document.value, "node", "listen", "tls")
    asked = bool(listening) and listening.get("client_certificates") != "none"
    for name, modality in _sections(document, "modalities").items():
        title = modality.get("ae_title")
        if isinstance(title, str) and seen.setdefault(title.strip(), name) != name:
            message = f'the AE title "{title}" is "{seen[title.strip()]}" already: nothing would tell the two apart'
            yield document.problem(("modalities", name, "ae_title"), message)
        if modality.get("certificate") is not None and not asked:
            message = "it could never associate: no TLS port asks for certificates (node.listen.tls)"
            yield document.problem(("modalities", name, "certificate"), message, key=True)
        yield from _commitment(document, name, modality)


def _commitment(document: Document, name: str, modality: Mapping[str, Any]) -> Iterator[Problem]:
    """An archive that is asked for its commitment is one that is known, and is not who asks."""
    through = section(modality, "storage_commitment").get("commit_through")
    if not isinstance(through, str):
        return
    path: YamlPath = ("modalities", name, "storage_commitment", "commit_through")
    destinations = _sections(document, "destinations")
    if through not in destinations:
        yield _no_destination(document, path, through, destinations)
    elif not destination_checks.is_dicom(destinations[through]):
        yield document.problem(path, f'"{through}" speaks no DIMSE: it cannot be asked for storage commitment')
    elif destinations[through].get("ae_title") == modality.get("ae_title"):
        message = f'"{through}" is the one who asks: each would delete because the other keeps'
        yield document.problem(path, message)


class _Manifests:
    """The manifests of all plugins that are named, read once, and what is wrong with the `plugins` section."""

    def __init__(self, document: Document, folder: Path) -> None:
        self._document = document
        self._folder = folder
        self._read: dict[str, Manifest | None] = {}
        self._uses: dict[str, PluginUse] = {}
        self.problems: list[Problem] = []
        for name, use in _sections(document, "plugins").items():
            place = use.get("folder")
            path = folder / place if isinstance(place, str) else None
            self._uses[name] = plugins.use_for_manifest(path, use.get("providers", ()))
            self.problems += [replace(each, plugin=name) for each in self._of_plugin(name, use, path)]

    def known(self) -> list[str]:
        """Every name that a rule may run."""
        own = {name for name in self._uses if plugins.folder_of(name, self._uses) is not None}
        return sorted(own | plugins.built_in().keys())

    def get(self, name: str) -> Manifest | None:
        """The manifest, None where there is none or it is broken (which `problems` says)."""
        if name not in self._read:
            try:
                self._read[name] = plugins.manifest_of(name, self._uses)
            except ManifestError as error:
                self._read[name] = None
                if name not in self._uses:
                    told = self._document.problem(("plugins",), f'built-in plugin "{name}": {error}')
                    self.problems.append(replace(told, plugin=name))
        return self._read[name]

    def get_known(self, name: str) -> Manifest | None:
        """The same; None where there is no such plugin, too."""
        return self.get(name) if self.exists(name) else None

    def exists(self, name: str) -> bool:
        """Whether a rule may run a plugin of this name."""
        named = {plugins.folded(known) for known in self._uses}
        return plugins.folded(name) in named or plugins.folder_of(name, {}) is not None

    def _of_plugin(self, name: str, use: Mapping[str, Any], folder: Path | None) -> Iterator[Problem]:
        path: YamlPath = ("plugins", name)
        if folder is None and plugins.folder_of(name, {}) is None:
            meant = closest(name, plugins.built_in())
            message = f'there is no built-in plugin "{name}"; a plugin of your own needs folder: with its {MANIFEST}'
            yield self._document.problem(path, message, meant, key=True)
            return
        if folder is not None and not (folder / MANIFEST).is_file():
            message = f"there is no {MANIFEST} in {folder.resolve()}"
            yield self._document.problem((*path, "folder"), message)
            return
        try:
            self._read[name] = plugins.manifest_of(name, self._uses)
        except ManifestError as error:
            self._read[name] = None
            yield self._document.problem(path, str(error), key=True)
        yield from self.parameters(name, use, path)
        yield from self._grants(name, use, path)

    def _grants(self, name: str, use: Mapping[str, Any], path: YamlPath) -> Iterator[Problem]:
        """What its manifest asks for beyond its own job, and the site does not grant."""
        manifest = self.get(name)
        try:
            granted = PluginGrants.model_validate(use.get("allow", {}), context={FOLDER: self._folder})
        except ValidationError:  # which the models complain about
            return
        missing = list(allowing.lacking(manifest.runtime.privileges, granted)) if manifest else []
        if missing:
            line = f"allow: {{{', '.join(missing)}}}"
            message = f"its {MANIFEST} asks for more than it is granted; if you trust it with that, write  {line}"
            yield self._document.problem(path, message, key=True)

    def parameters(self, name: str, use: Mapping[str, Any], path: YamlPath) -> Iterator[Problem]:
        """What the manifest says against the `parameters` of a plugin or of a rule's step."""
        manifest = self.get(name)
        if manifest is None:
            return
        for key, value in section(use, "parameters").items():
            try:
                manifest.parameters_for({key: value})
            except ParameterError as error:
                yield self._document.problem((*path, "parameters", key), str(error))


def _rules(document: Document, manifests: _Manifests) -> Iterator[Problem]:
    rules = document.value.get("rules")
    destinations = _sections(document, "destinations")
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        if not is_mapping(rule):
            continue
        path: YamlPath = ("rules", index)
        name = rule.get("name")
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            first = document.place(("rules", seen[name], "name"))
            message = f'a rule is called "{name}" already, in {first.file} on line {first.line}'
            yield document.problem((*path, "name"), message)
        for key in {"ignore", "vendors"} & rule.keys():
            message = f"{key} is said once for all rules: write it beside rules:"
            yield document.problem((*path, key), message, key=True)
        for key, message in abilities.lacking(rule):
            yield document.problem((*path, key), message, key=True)
        steps = list(_steps(rule.get("run"), (*path, "run")))
        for step_path, step in steps:
            yield from _step(document, manifests, step_path, step)
        yield from steps_of_rules.problems(document, steps, manifests.get_known)
        for send_path, destination in _each(rule.get("send"), (*path, "send")):
            yield from _send(document, destinations, send_path, destination, rule.get("mode"))
        yield from reporting.problems(document, rule, path, destinations)
        yield from _forward(document, destinations, path, rule)
        source = section(rule, "prior").get("source")
        yield from _send(document, destinations, (*path, "prior", "source"), source, mode=None)
        if isinstance(source, str) and not destination_checks.is_dicom(destinations.get(source, {})):
            message = f'"{source}" speaks no DIMSE: earlier studies are fetched by C-FIND and C-MOVE'
            yield document.problem((*path, "prior", "source"), message)


def _stop_rules(document: Document, manifests: _Manifests) -> Iterator[Problem]:
    for name, stop_rule in _sections(document, "stop_rules").items():
        plugin = stop_rule.get("plugin")
        if isinstance(plugin, str) and not manifests.exists(plugin):
            hint = closest(plugin, manifests.known())
            yield document.problem(("stop_rules", name, "plugin"), f'there is no plugin "{plugin}"', hint)


def _forward(
    document: Document, destinations: Mapping[str, Mapping[str, Any]], path: YamlPath, rule: Mapping[str, Any]
) -> Iterator[Problem]:
    forward = section(rule, "forward")
    path = (*path, "forward")
    for to_path, destination in _each(forward.get("to"), (*path, "to")):
        yield from _send(document, destinations, to_path, destination, rule.get("mode"))
    for keyword, value in section(forward, "coerce").items():
        if found := coercions.problem(str(keyword), value):
            yield document.problem((*path, "coerce", keyword), found[0], found[1], key=True)


def _each(value: Any, path: YamlPath) -> Iterator[tuple[YamlPath, Any]]:
    """One thing, or each of a list of them, with its path."""
    if isinstance(value, list):
        yield from (((*path, index), part) for index, part in enumerate(value))
    else:
        yield path, value


def _steps(value: Any, path: YamlPath) -> Iterator[tuple[YamlPath, Mapping[str, Any]]]:
    for step_path, step in _each(value, path):
        if isinstance(step, str):
            yield step_path, {"plugin": step}
        elif is_mapping(step):
            yield step_path, step


def _step(document: Document, manifests: _Manifests, path: YamlPath, step: Mapping[str, Any]) -> Iterator[Problem]:
    name = step.get("plugin")
    if not isinstance(name, str):
        return
    if not manifests.exists(name):
        known = manifests.known()
        path = (*path, "plugin") if (*path, "plugin") in document.values else path  # `run: name` alone is the plugin
        message = f'there is no plugin "{name}"'
        meant = closest(name, known)
        if meant is None:
            message += f"; there is {', '.join(known)}" if known else ""
        yield document.problem(path, message, meant)
        return
    yield from manifests.parameters(name, step, path)


def _send(
    document: Document, destinations: Mapping[str, Mapping[str, Any]], path: YamlPath, name: Any, mode: Any
) -> Iterator[Problem]:
    if not isinstance(name, str):
        return
    if name not in destinations:
        yield _no_destination(document, path, name, destinations)
        return
    audience = destinations[name].get("audience", Destination.model_fields["audience"].default)
    if mode == "shadow" and audience != "evaluation":
        message = f'mode shadow is not for readers: "{name}" needs audience: evaluation, or the rule mode: pilot'
        yield document.problem(path, message)


def _no_destination(
    document: Document, path: YamlPath, name: str, destinations: Mapping[str, Mapping[str, Any]]
) -> Problem:
    message = f'there is no destination "{name}"'
    meant = closest(name, destinations)
    if meant is None:
        message += f"; there is {', '.join(destinations)}" if destinations else ": the configuration has none"
    return document.problem(path, message, meant)
