"""How plugins are confined here: tried by the node when it starts, and left in the data folder for `status`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from node.errors import PermanentError

if TYPE_CHECKING:
    from node.config.allowing import PluginIsolation
    from node.config.models import Configuration
    from node.run.sandbox import Isolation

FILE = "confinement.json"
"""In the data folder: what the node that runs, or ran last, found."""


@dataclass(frozen=True, slots=True)
class PluginConfinement:
    """What is in force for one plugin, where that differs from the others."""

    name: str
    text: str
    severity: str


@dataclass(frozen=True, slots=True)
class Confinement:
    """What is in force."""

    isolated: bool
    text: str
    """One line for `check` and `status`."""
    severity: str
    """Of its warning: `alert`, `warning`, or empty where there is nothing to warn of."""
    plugins: tuple[PluginConfinement, ...] = ()

    def text_of(self, plugin: str) -> str:
        """What is in force for one plugin."""
        return next((each.text for each in self.plugins if each.name == plugin), self.text)


def of(found: Isolation, as_root: bool, who: str = "plugins do") -> Confinement:
    """What this isolation means for a node that runs as root, or does not."""
    if found.refusal:
        return Confinement(False, f"{who} not run: {found.refusal}", "alert")
    if found.whole:
        return Confinement(True, str(found), "" if found.apart else "warning")
    if as_root:
        return Confinement(False, f"plugins run unconfined as root: {found}", "alert")
    return Confinement(False, str(found), "warning")


def tried(configuration: Configuration) -> Confinement:
    """What a process of this configuration would run plugins in; the machine is tried once in its life."""
    from node.run.sandbox import as_set, isolation  # the guard of plugins takes a while; `status` needs none

    found, as_root = isolation(), os.geteuid() == 0
    whole = of(as_set(found, configuration.node.isolation), as_root)
    own = tuple(_own(configuration, found, whole, as_root))
    return Confinement(whole.isolated, whole.text, whole.severity, own)


def _own(
    configuration: Configuration, found: Isolation, whole: Confinement, as_root: bool
) -> Iterator[PluginConfinement]:
    for name, use in configuration.plugins.items():
        its = _of_plugin(name, use.isolation, configuration, found, as_root)
        if its is not None and its.text != whole.text:
            yield PluginConfinement(name, its.text, its.severity)


def _of_plugin(
    name: str, setting: PluginIsolation | None, configuration: Configuration, found: Isolation, as_root: bool
) -> Confinement | None:
    """What is in force for one plugin; None where nobody says anything of it in particular."""
    from node.config import plugins as configured
    from node.run.kinds import registry
    from node.run.sandbox import as_set

    try:
        manifest = configured.manifest_of(name, configuration.plugins)
    except ValueError:  # the catalogue says what is wrong with it
        manifest = None
    own = manifest is not None and manifest.runtime.kind in registry.CONFINEMENTS
    if setting is None and not own:
        return None
    its = as_set(found, setting or configuration.node.isolation)
    if manifest is not None and own:
        try:
            its = registry.confinement_of(manifest, replace(its, containers=configuration.node.containers))
        except PermanentError as error:
            return Confinement(False, f"it does not run: {error}", "alert")
    return of(its, as_root, who="it does")


def note(configuration: Configuration) -> Confinement:
    """Try it, and leave word in the data folder."""
    found = tried(configuration)
    data = configuration.node.data
    part = data / f"{FILE}.part"
    part.write_text(json.dumps(asdict(found)))
    part.rename(data / FILE)
    return found


def noted(data: Path) -> Confinement | None:
    """What the node left word of; None where there is none that can be read."""
    try:
        plain = json.loads((data / FILE).read_text())
        plugins = tuple(PluginConfinement(**each) for each in plain.get("plugins", ()))
        return Confinement(**{**plain, "plugins": plugins})
    except (OSError, ValueError, TypeError, AttributeError):  # no file, or not one that this version wrote
        return None


def granted(name: str, its: Isolation) -> str:
    """What a plugin gets beyond its own job, in one line."""
    given = its.privileges
    parts = [f"connects to {', '.join(map(str, given.network))}" if given.network else "no network"]
    parts += [f"reads {', '.join(map(str, given.readable))}"] if given.readable else []
    if given.environment:
        shown = (f"{each} ({value})" if isinstance(value, Path) else each for each, value in given.environment)
        parts.append(f"environment {', '.join(shown)}")
    parts += ["GPUs"] if given.gpu else []
    line = f"{name}: {'; '.join(parts)}"
    return line if its.sandbox or its.engine else f"{line} (not restricted to that, as it is not isolated)"
