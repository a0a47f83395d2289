"""What becomes of the queues when a configuration comes into force."""

from __future__ import annotations

import shlex
from collections import Counter

from node.config.models import Configuration
from node.desk.site import open_ledger
from node.errors import NodeError
from node.ledger import gone_rules


def cancelled_by(configuration: Configuration) -> dict[str, str]:
    """Rules of which jobs wait that this configuration disables or does not have, and what becomes of these, in words.

    Empty where there is no ledger yet, or one that this program cannot read: nothing can be said of it then.
    """
    rules = {rule.name for rule in configuration.rules if rule.enabled}
    try:
        with open_ledger(configuration).reading() as database:
            counted = Counter(rule for _, rule in gone_rules.queued(database, rules))
    except NodeError:
        return {}
    known = {rule.name for rule in configuration.rules}
    return {
        rule: f'{count} queued job{"" if count == 1 else "s"} of the rule "{rule}" will be cancelled, because it'
        f" {'is disabled' if rule in known else 'is gone'};"
        f" pacsnode retry --rule {shlex.quote(rule)} --status cancelled runs them"
        for rule, count in sorted(counted.items())
    }
