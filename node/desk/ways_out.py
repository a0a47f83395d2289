"""Destinations that do not speak DIMSE, tried by hand: whether they are there, and take our login."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from node.config.destinations import Destination
from node.config.models import Configuration
from node.config.problems import ConfigurationError
from node.desk import site
from node.errors import NotFoundError


def _dicomweb(destination: Destination) -> str:
    from node.deliver.ways import dicomweb  # the client takes a while to load

    dicomweb.archive(destination, "").try_out()
    return "answers QIDO-RS"


def _folder(destination: Destination) -> str:
    from node.deliver.ways import folder

    folder.archive(destination, "").try_out()
    return "can be written"


_TRIALS: Mapping[str, Callable[[Destination], str]] = {"dicomweb": _dicomweb, "folder": _folder}


def find(name: str, config: Path) -> Destination | None:
    """The destination of this name, where it does not speak DIMSE; None where there is none."""
    try:
        configuration: Configuration = site.load(config)
    except (ConfigurationError, NotFoundError):
        return None
    found = configuration.destinations.get(name)
    return found if found is not None and found.kind in _TRIALS else None


def try_out(destination: Destination) -> str:
    """What it did, to be put after its name. TransientError, PermanentError where it is not there, or refuses us.

    Nothing of a patient is sent: a question about a study that nobody has, or a file without content.
    """
    return _TRIALS[destination.kind](destination)
