"""What a section of the configuration is: a frozen model that says who takes up a change of it, and what is a path.

A key is taken up by those whom `TakenUpBy` names for this key, else by those of the section that it holds, else by
`taken_up_by` of the section where it is declared. A section with a key that nobody was named for is refused when its
module is imported: a reload would not know what to do with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

FOLDER = "folder"
"""In the context of validation: where the relative paths of the configuration begin."""
KIND = "kind: "
"""Before the name of a kind, where pydantic puts it into the place of a mistake: no key is called like that."""
KeyPath: TypeAlias = tuple[str, ...]


class Party(StrEnum):
    """Who takes up a changed key; a key that no party takes up is used up when the file is checked."""

    RECEIVERS = "receivers"
    """Receivers: others that use it take their place."""
    NODE = "node"
    """The stages of the node process, between two studies."""
    PEERS = "peers"
    """What the node process keeps for the systems it calls: outboxes, fetching, storage commitment. It begins again."""
    NEXT_START = "next start"
    """The next start of the whole node, and nobody before."""


@dataclass(frozen=True)
class TakenUpBy:
    """Beside the type of one key: who takes it up."""

    parties: frozenset[Party]

    @classmethod
    def only(cls, *parties: Party) -> TakenUpBy:
        """These; none where it is used up when the file is checked."""
        return cls(frozenset(parties))


def _begin_at_folder(value: Path, info: ValidationInfo) -> Path:
    folder: Path | None = (info.context or {}).get(FOLDER)
    return value if folder is None else folder / value


SitePath = Annotated[Path, AfterValidator(_begin_at_folder)]
"""A file or folder; a relative one begins at the folder of the file that names it."""


class Section(BaseModel):
    """A part of the configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    taken_up_by: ClassVar[frozenset[Party]]
    """Who takes up a change of its keys."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        for name in cls.model_fields:
            if _declared(cls, name) is None and not _sections_in(cls.model_fields[name].annotation):
                raise TypeError(f"{cls.__name__}.{name}: say who takes up a change of it (taken_up_by, TakenUpBy)")


@dataclass(frozen=True)
class ByKind:
    """Beside the type that all kinds of a section share: the kinds, of which its key `kind` names one."""

    default: str
    """The kind where none is named."""
    kinds: tuple[type[Section], ...]
    """Each with its name as the default of `kind`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {f"{KIND}{each.model_fields['kind'].default}": handler.generate_schema(each) for each in self.kinds}
        return core_schema.tagged_union_schema(choices, self._tag_of)

    def _tag_of(self, given: Any) -> str:
        if isinstance(given, Mapping):
            return f"{KIND}{given.get('kind', self.default)}"
        return f"{KIND}{getattr(given, 'kind', self.default)}"


def parties_of(section: type[Section], key: str) -> frozenset[Party]:
    """Everybody who takes up a change of this key, or of anything in it."""
    held = _sections_in(section.model_fields[key].annotation)
    if not held or _named_for(section, key) is not None:
        return _declared(section, key) or frozenset()
    return frozenset[Party]().union(*(parties_of(each, name) for each in held for name in each.model_fields))


def changes(old: Section, new: Section) -> dict[KeyPath, frozenset[Party]]:
    """The path of each key that differs, and who takes it up; what came or went is one key, with all that it holds."""
    if type(old) is not type(new):
        every = {(type(each), name) for each in (old, new) for name in type(each).model_fields}
        return {(): frozenset[Party]().union(*(parties_of(*each) for each in every))}
    found: dict[KeyPath, frozenset[Party]] = {}
    for name in type(new).model_fields:
        one, other = getattr(old, name), getattr(new, name)
        if one == other:
            continue
        whole = parties_of(type(new), name)
        fixed = _named_for(type(new), name) is not None
        key = type(new).model_fields[name].alias or name  # `for` is a keyword of Python
        for rest, parties in _inside(one, other, whole).items():
            found[key, *rest] = whole if fixed else parties
    return found


def _inside(one: Any, other: Any, whole: frozenset[Party]) -> dict[KeyPath, frozenset[Party]]:
    """The differences of two values of one key; `whole` takes up the key as such."""
    if isinstance(one, Section) and isinstance(other, Section):
        return changes(one, other)
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return {(): whole}
    found: dict[KeyPath, frozenset[Party]] = {}
    for name in [*one, *(name for name in other if name not in one)]:
        if name not in one or name not in other:
            found[name,] = whole
        elif one[name] != other[name]:
            found |= {(name, *rest): parties for rest, parties in _inside(one[name], other[name], whole).items()}
    return found


def paths(part: object, party: Party | None = None) -> Iterator[Path]:
    """Every file and folder that a part of the configuration names; of those alone that this party takes up."""
    return (path for _, path in paths_by_key(part, party))


def paths_by_key(part: object, party: Party | None = None, at: KeyPath = ()) -> Iterator[tuple[KeyPath, Path]]:
    """Like `paths`, each with the key that names it."""
    if isinstance(part, Path):
        yield at, part
    elif isinstance(part, Section):
        for name, value in part:
            if party is None or party in parties_of(type(part), name):
                yield from paths_by_key(value, party, (*at, name))
    elif isinstance(part, Mapping):
        for name, value in part.items():
            yield from paths_by_key(value, party, (*at, name))


def _declared(section: type[Section], key: str) -> frozenset[Party] | None:
    """Who takes up a key that holds no section; None where nobody was named."""
    named = _named_for(section, key)
    if named is not None:
        return named
    where = next(each for each in section.__mro__ if key in inspect.get_annotations(each))
    found: frozenset[Party] | None = getattr(where, "taken_up_by", None)
    return found


def _named_for(section: type[Section], key: str) -> frozenset[Party] | None:
    return next((each.parties for each in section.model_fields[key].metadata if isinstance(each, TakenUpBy)), None)


def _sections_in(annotation: Any) -> list[type[Section]]:
    """The sections that a type may hold, as in `dict[str, Modality]` and `TLS | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    parts = get_args(annotation)
    kinds = [each for part in parts if isinstance(part, ByKind) for each in part.kinds]
    return kinds or [found for part in parts for found in _sections_in(part)]
