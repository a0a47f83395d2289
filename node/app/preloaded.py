"""What the node's child processes import, so that the process they are forked from has it already.

A module that is missing here costs each child that uses it the time of its import; nothing else depends on it.
"""

from __future__ import annotations

MODULES = (
    "node.index.children",
    "node.run.answer",
    "node.run.laying_out",
    "node.deliver.preparing",
    "node.results.encoder",
    "node.results.encode",
)
