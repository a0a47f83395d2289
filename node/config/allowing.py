"""What a site grants to a plugin beyond its own job, compared with what its plugin.toml asks for.

The manifest asks, the site grants: in force is what both say. A plugin that asks for more than it is granted is a
mistake of the configuration, whose message has the lines to add. What is granted and not asked for is not given.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from node.config.sections import Party, Section, SitePath
from plugins.privileges import Endpoint, Privileges, variable_name

PluginIsolation = Literal["required", "auto", "off"]


def _engine(text: str) -> str:
    if text != "auto" and Path(text).name not in ("podman", "docker"):
        raise ValueError(f"{text!r} is none of auto, podman and docker, and no path of such a program")
    if text != Path(text).name and not Path(text).is_absolute():
        raise ValueError(f"{text!r} is not an absolute path")
    return text


ContainerEngine = Annotated[str, AfterValidator(_engine)]
"""What runs container images: `auto`, `podman`, `docker`, or the path of one of them."""


def _endpoint(text: str) -> str:
    return str(Endpoint.parse(text))


class SecretFile(Section):
    """A file that holds a value."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    file: SitePath
    """The node reads it for each attempt, without a line break at its end; it is never shown."""


class PluginGrants(Section):
    """What a plugin gets of what its plugin.toml asks for."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    network: tuple[Annotated[str, AfterValidator(_endpoint)], ...] = ()
    """host:port of services that it may connect to."""
    readable: tuple[SitePath, ...] = ()
    """Files and folders that it may read, with all that is below."""
    environment: dict[Annotated[str, AfterValidator(variable_name)], str | SecretFile] = Field(default_factory=dict)
    """Variables of its environment: what is written here is what it gets."""
    gpu: bool = False
    """Whether it may use the GPUs of this machine."""


def in_force(asked: Privileges, granted: PluginGrants) -> Privileges:
    """What a plugin gets; of a variable of its environment, the value that the site gives."""
    values = granted.environment
    return Privileges(
        tuple(each for each in asked.network if str(each) in granted.network),
        tuple(each for each in asked.readable if _within(each, granted.readable)),
        tuple((name, _of_site(values[name])) for name, _ in asked.environment if name in values),
        asked.gpu and granted.gpu,
    )


def lacking(asked: Privileges, granted: PluginGrants) -> Iterator[str]:
    """The keys for `allow:` with each thing that is asked for and not granted, and what was granted beside it."""
    network = [str(each) for each in asked.network if str(each) not in granted.network]
    readable = [str(each) for each in asked.readable if not _within(each, granted.readable)]
    variables = [_line(name, value) for name, value in asked.environment if name not in granted.environment]
    for key, missing in (("network", network), ("readable", readable)):
        if missing:
            both = [*map(str, getattr(granted, key)), *missing]
            yield f"{key}: [{', '.join(map(_quoted, both))}]"
    if variables:
        yield f"environment: {{{', '.join(variables)}}}"
    if asked.gpu and not granted.gpu:
        yield "gpu: true"


def _within(path: Path, granted: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(each) for each in granted)


def _of_site(value: str | SecretFile) -> str | Path:
    return value.file.absolute() if isinstance(value, SecretFile) else value


def _line(name: str, value: str | Path) -> str:
    return f"{name}: {{file: {_quoted(str(value))}}}" if isinstance(value, Path) else f"{name}: {_quoted(value)}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
