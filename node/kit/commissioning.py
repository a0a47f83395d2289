"""Running the examples of a plugin, through the stages of the node."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from node.config.models import Configuration
from node.errors import TransientError, UsageError
from node.kit import examples
from node.kit.chosen import PluginChoice
from node.kit.examples import CommissioningExample, ExampleError
from node.kit.receiving import kept_result, receive
from node.kit.small_node import PluginTask, SmallNode, kit_configuration, small_node
from node.ledger import attempts
from node.ledger.attempts import AttemptFailureKind
from node.run.catalogue import SitePlugin
from node.run.commissioning import ExamplesVerdict
from plugins.manifest import ParameterError

_OF_THE_MOMENT = (
    AttemptFailureKind.NODE,
    AttemptFailureKind.NODE_DIED,
    AttemptFailureKind.CHANGED,
    AttemptFailureKind.RETRYABLE,
)
"""They say nothing of what the plugin says of an example."""


def commission(
    name: str, site: Configuration, stop: threading.Event | None = None, within: Path | None = None
) -> ExamplesVerdict:
    """What a plugin of a site says of its examples, as it runs here (`node.run.commissioning.ExamplesTrial`).

    `within`: see `node.kit.small_node.small_node`.

    TransientError where it cannot be concluded: the machine did not allow an attempt, or `stop` was set.
    """
    choice = PluginChoice(name, site)
    try:
        known = examples.load(choice.manifest.folder)
    except (ExampleError, UsageError) as error:
        return ExamplesVerdict(False, str(error))
    if not known:
        return ExamplesVerdict(True, "it has no examples")
    with small_node(_on_its_machine(site), stop, within) as node:
        plugin = choice.at(node.node.store.data)
        problems = [f"{each.name}: {problem}" for each in known for problem in differences(node, plugin, each)]
    if problems:
        return ExamplesVerdict(False, "\n".join(problems))
    return ExamplesVerdict(True, f"passed: {', '.join(each.name for each in known)}")


def _on_its_machine(site: Configuration) -> Configuration:
    """What the kit uses, on the machine as the site describes it: a GPU that is not found, for one."""
    kit = kit_configuration()
    return kit.model_copy(update={"node": kit.node.model_copy(update={"machine": site.node.machine})})


def differences(node: SmallNode, plugin: SitePlugin, example: CommissioningExample) -> Iterator[str]:
    """What it says otherwise of one example, in words."""
    try:
        own, roles = receive(node, example.images)
        job = node.run(PluginTask(plugin, own, roles, example.parameters))
    except (ParameterError, UsageError) as error:  # of what the example gives
        yield str(error)
        return
    last = attempts.last_of(node.node.ledger.database, job.id)
    if last is not None and last.failure in _OF_THE_MOMENT:
        raise TransientError(f"example {example.name}: {job.error}")
    result = kept_result(node, job)
    if result is None:
        yield f"the attempt failed: {job.error}"
        return
    told = f" ({job.error})" if job.error else ""
    yield from (f"{each}{told}" for each in examples.differences(example.expected, result))
