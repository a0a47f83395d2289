"""A stored trace as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SIGNS = {True: "+", False: "-", None: "?"}


def lines(trace: Mapping[str, Any]) -> list[str]:
    """The trace of a decision as plain text: `+` holds, `-` does not, `?` is in doubt, `>` is taken."""
    said = [f"{trace['rule']}: {'matched' if trace['matched'] else 'not matched'} ({trace['why']})"]
    said += [f"  problem: {problem}" for problem in trace["problems"]]
    if trace["near_miss"]:
        said.append(f"  near miss, all but: {trace['near_miss']}")
    said += ["  when", *_node(trace["when"], 2)]
    for ignored in trace.get("ignore", ()):
        said += ["  ignored when", *_node(ignored, 2)]
    if trace.get("wait"):
        said += ["  wait until", *_node(trace["wait"], 2)]
    for choice in trace["choose"]:
        said += _node(choice, 1)
    for gate in trace.get("gates", ()):
        said += _node(gate, 1)
    said += [f"  then {line}" for line in trace.get("does", ())]
    return said


def _node(node: Mapping[str, Any], depth: int) -> Iterator[str]:
    sign = ">" if node.get("taken") else _SIGNS[node["passed"]]
    yield f"{'  ' * depth}{sign} {node['clause']} — {node['why']}"
    for preference in node.get("preferences", ()):
        yield f"{'  ' * (depth + 1)}  prefer {preference['clause']}: {preference['value']}"
    for part in node.get("parts", ()):
        yield from _node(part, depth + 1)
