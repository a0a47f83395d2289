"""What rules may ask for and this node cannot carry out yet: refused when the configuration is loaded.

The rule language decides on more than is built. A rule that asked for it and was accepted would do
nothing without a word, so it is refused with its place, also where the rule is switched off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NOT_BUILT: Mapping[str, str] = {
    "prior": "fetching an earlier study",
}
"""Keys of a rule that it must not have, and what they ask for."""


def lacking(rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys of a rule that ask for what is not built, each with what to say."""
    for key, what in NOT_BUILT.items():
        if rule.get(key):
            yield key, f"{what} is not built yet: this node would not do it. Take {key} out of the rule"
    if rule.get("forward") and not rule.get("run"):
        for key in ("once", "limits"):
            if rule.get(key) and rule[key] != "revision":
                yield (
                    key,
                    f"{key} counts what was run, and this rule runs nothing; an image is sent on once in any case",
                )
