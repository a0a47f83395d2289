"""Rules that do the same twice: what one runs, another runs whenever it matches."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from rules.contradictions import Checker, Contradiction, mapping
from rules.model import Rule

_MOST = 3
"""At most this many other rules are named."""
_Rest = tuple[str, str]
"""A plugin with its parameters, and all that bears on when the rule runs and on what, but its `when`."""


def twice(rules: Sequence[Rule]) -> Iterator[Contradiction]:
    """Of each rule the first earlier ones that match whenever it does, or the other way, and run the same."""
    groups: dict[_Rest, dict[int, str]] = defaultdict(dict)
    for index, rule in enumerate(rules):
        for step in rule.run if rule.enabled else ():
            groups[_json([step.plugin, step.parameters]), _rest(rule)].setdefault(index, step.plugin)
    lines = {index: _lines(rules[index]) for group in groups.values() if len(group) > 1 for index in group}
    said: dict[int, dict[int, Contradiction]] = defaultdict(dict)
    for group in groups.values():
        for one, other in _contained({index: lines[index] for index in group} if len(group) > 1 else {}):
            earlier, later = sorted((one, other))
            if len(said[later]) < _MOST:
                said[later].setdefault(earlier, _finding(rules, earlier, later, lines, group[later]))
    for _, found in sorted(said.items()):
        yield from (finding for _, finding in sorted(found.items()))


def _contained(lines: dict[int, frozenset[str]]) -> Iterator[tuple[int, int]]:
    """Pairs of rules of which one asks all that the other asks; each is looked for under its rarest line."""
    frequency = Counter(line for each in lines.values() for line in each)
    under: dict[str, list[int]] = defaultdict(list)
    for index, each in lines.items():
        under[min(each, key=lambda line: (frequency[line], line))].append(index)
    for index, each in lines.items():
        for line in each:
            candidates = under.get(line, ())
            found = (other for other in candidates if other != index and lines[other] <= each)
            yield from ((other, index) for other in islice(found, _MOST))


def _finding(
    rules: Sequence[Rule], earlier: int, later: int, lines: dict[int, frozenset[str]], plugin: str
) -> Contradiction:
    name = rules[earlier].name
    if lines[earlier] == lines[later]:
        found = f"asks the same as the rule {name}"
    elif lines[earlier] < lines[later]:
        found = f"the rule {name} matches whatever this one does"
    else:
        found = f"matches whatever the rule {name} does"
    return Contradiction((later, "when"), f"{found}, and runs {plugin} on the same series, so it runs twice", False)


def _rest(rule: Rule) -> str:
    left_out = {"name", "description", "when", "run", "send", "mode", "priority", "on_correction"}
    return _json(rule.model_dump(mode="json", exclude=left_out))


def _json(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True)


def _lines(rule: Rule) -> frozenset[str]:
    return frozenset(part.text for part in Checker(None).parts(mapping(rule.when.plain), ()))
