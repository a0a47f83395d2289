"""What rules may say and this node cannot carry out, or only together: refused when the configuration is loaded.

A rule that asked for it and was accepted would do nothing without a word, so it is refused with its place, also
where the rule is switched off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def lacking(rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys of a rule that ask for what is not done, each with what to say."""
    if rule.get("forward") and not rule.get("run"):
        for key in ("once", "limits"):
            if rule.get(key) and rule[key] != "revision":
                what = f"{key} counts what was run, and this rule runs nothing"
                yield key, f"{what}; an image is forwarded once in any case"
    if rule.get("prior") and rule.get("decide", "complete") != "complete":
        yield "prior", "an earlier study is fetched for complete studies only: write decide: complete"
