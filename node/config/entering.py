"""Adding an entry to the text of a configuration: everything else stays as it was written, comments included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from node.config import source
from node.config.problems import ConfigurationError
from node.config.values import is_mapping
from node.errors import PermanentError

_NULLS = ("", "~", "null", "Null", "NULL")


def with_item(text: str, path: Sequence[str], item: str) -> str:
    """The text with one more item of the list at this path, which is made where it is not there; PermanentError.

    `item` is written in quotes.
    """
    written = quoted(item)
    root = _root(text)
    found = _at(root, path)
    if found is None or _is_nothing(found):
        changed = _with_key(text, root, path[:-1], path[-1], f"[{written}]")
    elif isinstance(found, SequenceNode):
        changed = _with_last(text, found, written)
    else:
        raise PermanentError(f"{source.path_text(tuple(path))} is not a list: enter it by hand")
    return _checked(text, changed, path, lambda old: [*(old or []), item])


def with_entry(text: str, path: Sequence[str], value: Mapping[str, Any], written: str) -> str:
    """The text with a value at this path, where there is none yet; `written`: the value as YAML in one line."""
    changed = _with_key(text, _root(text), path[:-1], path[-1], written)

    def made(old: object) -> Mapping[str, Any]:
        if old is not None:
            raise PermanentError(f"there is an entry {source.path_text(tuple(path))} already: enter it by hand")
        return value

    return _checked(text, changed, path, made)


def quoted(text: str) -> str:
    """A text as YAML, whatever it is: nothing in it is read as anything else."""
    return "'" + text.replace("'", "''") + "'"


def _root(text: str) -> Node:
    root = YAML(typ="safe", pure=True).compose(text)
    if not isinstance(root, MappingNode):
        raise PermanentError("the configuration has no sections: enter it by hand")
    return root


def _at(node: Node, path: Sequence[str]) -> Node | None:
    pair = _pair(node, path) if path else None
    return pair[1] if pair else None if path else node


def _pair(node: Node, path: Sequence[str]) -> tuple[Node, Node] | None:
    """Key and value at this path."""
    *above, last = path
    section = _at(node, above)
    if not isinstance(section, MappingNode):
        return None
    return next(((key, value) for key, value in section.value if key.value == last), None)


def _is_nothing(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.style is None and node.value in _NULLS


def _with_key(text: str, root: Node, path: Sequence[str], key: str, written: str) -> str:
    """One more key of the mapping at this path."""
    found = _at(root, path)
    if found is None:
        return _with_key(text, root, path[:-1], path[-1], f"{{{key}: {written}}}")
    if _is_nothing(found):
        pair = _pair(root, path)
        assert pair is not None, "the root of a configuration is not nothing"
        begin = text.index(":", pair[0].end_mark.index) + 1
        end = found.end_mark.index if found.value else begin
        return f"{text[:begin]} {{{key}: {written}}}{text[end:]}"
    if not isinstance(found, MappingNode):
        raise PermanentError(f"{source.path_text(tuple(path))} is not a section: enter it by hand")
    if found.flow_style:
        return _in_flow(text, found, [value for _, value in found.value], f"{key}: {written}")
    column = found.value[0][0].start_mark.column
    return _on_a_line_of_its_own(text, found.value[-1][1], column, f"{key}: {written}")


def _with_last(text: str, found: SequenceNode, item: str) -> str:
    if found.flow_style:
        return _in_flow(text, found, found.value, item)
    return _on_a_line_of_its_own(text, found.value[-1], found.start_mark.column, f"- {item}")


def _in_flow(text: str, found: Node, values: Sequence[Node], more: str) -> str:
    """Between brackets or braces, behind the last value."""
    if not values:
        place = found.start_mark.index + 1
        return f"{text[:place]}{more}{text[place:]}"
    place = _end(values[-1])
    return f"{text[:place]}, {more}{text[place:]}"


def _on_a_line_of_its_own(text: str, last: Node, column: int, more: str) -> str:
    """Behind the line on which the last value ends."""
    place = text.find("\n", _end(last))
    line = f"{' ' * column}{more}\n"
    return f"{text}\n{line}" if place < 0 else f"{text[: place + 1]}{line}{text[place + 1 :]}"


def _end(node: Node) -> int:
    """Where the text of a value ends: a block collection's own mark is where the next thing begins."""
    if isinstance(node, MappingNode) and node.value and not node.flow_style:
        return _end(node.value[-1][1])
    if isinstance(node, SequenceNode) and node.value and not node.flow_style:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _checked(text: str, changed: str, path: Sequence[str], made: Any) -> str:
    """The changed text where it says what it should and nothing else: aliases and odd forms are for a person."""
    wanted = _with(_value(text), path, made)
    try:
        is_right = _value(changed) == wanted
    except ConfigurationError:
        is_right = False
    if not is_right:
        raise PermanentError(f"{source.path_text(tuple(path))} cannot be entered without a look: enter it by hand")
    return changed


def _value(text: str) -> Any:
    draft = Path("config.yaml")
    return source.read(draft, {draft.resolve(): text.encode()}).value


def _with(value: Any, path: Sequence[str], made: Any) -> Any:
    if not path:
        return made(value)
    known = value if is_mapping(value) else {}
    return {**known, path[0]: _with(known.get(path[0]), path[1:], made)}
