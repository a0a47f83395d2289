"""Running the examples of a plugin, through the stages of the node."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from node.config.models import Configuration
from node.errors import TransientError, UsageError
from node.kit import examples
from node.kit.chosen import PluginChoice
from node.kit.examples import CommissioningExample, ExampleError
from node.kit.receiving import kept_result, receive
from node.kit.small_node import PluginTask, SmallNode, kit_configuration, small_node
from node.ledger import attempts
from node.ledger.attempts import AttemptFailureKind, AttemptState
from node.run.catalogue import SitePlugin
from node.run.commissioning import LACKS_EXAMPLES, ExamplesVerdict
from plugins.manifest import ParameterError

_OF_THE_MOMENT = (
    AttemptFailureKind.NODE,
    AttemptFailureKind.NODE_DIED,
    AttemptFailureKind.CHANGED,
    AttemptFailureKind.RETRYABLE,
)
"""They say nothing of what the plugin says of an example."""
_PERHAPS_MACHINE = (
    AttemptFailureKind.CRASH,
    AttemptFailureKind.DEADLINE,
    AttemptFailureKind.LOADING,
    AttemptFailureKind.RESOURCES,
)
"""A machine that is busy or full may cause them: a kill for want of memory, no time, no disk. The limit of memory that
a plugin has is its own (MEMORY), on whatever machine."""


_CUT_SHORT = (AttemptState.CANCELLED, AttemptState.LOST)


@dataclass(frozen=True, slots=True)
class ExampleOutcome:
    """What a plugin said of one example."""

    differences: tuple[str, ...] = ()
    """What it says otherwise, in words."""
    perhaps_machine: bool = False
    """See `ExamplesVerdict.perhaps_machine`."""


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
        is_live = not choice.manifest.runtime.needs_examples
        return ExamplesVerdict(is_live, "it has no examples" if is_live else LACKS_EXAMPLES)
    with small_node(_on_its_machine(site), stop, within) as node:
        plugin = choice.at(node.node.store.data)
        found = [(each, outcome(node, plugin, each)) for each in known]
    problems = [(f"{each.name}: {text}", said.perhaps_machine) for each, said in found for text in said.differences]
    if problems:
        detail = "\n".join(text for text, _ in problems)
        return ExamplesVerdict(False, detail, perhaps_machine=all(perhaps for _, perhaps in problems))
    return ExamplesVerdict(True, f"passed: {', '.join(each.name for each in known)}")


def _on_its_machine(site: Configuration) -> Configuration:
    """What the kit uses, on the machine as the site describes it: a GPU that is not found, for one."""
    kit = kit_configuration()
    return kit.model_copy(update={"node": kit.node.model_copy(update={"machine": site.node.machine})})


def outcome(node: SmallNode, plugin: SitePlugin, example: CommissioningExample) -> ExampleOutcome:
    """What it says of one example; TransientError where the machine did not allow an attempt."""
    try:
        own, roles = receive(node, example.images)
        job = node.run(PluginTask(plugin, own, roles, example.parameters))
    except (ParameterError, UsageError) as error:  # of what the example gives
        return ExampleOutcome((str(error),))
    last = attempts.last_of(node.node.ledger.database, job.id)
    if last is not None and (last.failure in _OF_THE_MOMENT or last.state in _CUT_SHORT):
        raise TransientError(f"example {example.name}: {job.error or 'it was stopped'}")
    result = kept_result(node, job)
    if result is None:
        return ExampleOutcome((f"the attempt failed: {job.error}",))
    perhaps_machine = last is not None and last.failure in _PERHAPS_MACHINE
    told = f" ({job.error})" if job.error else ""
    found = tuple(f"{each}{told}" for each in examples.differences(example.expected, result))
    return ExampleOutcome(found, perhaps_machine)
