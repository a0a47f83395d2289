"""Whether the plugins of a site would run if a study came now: for `pacsnode check`."""

from __future__ import annotations

from collections.abc import Sequence

from node.config.models import Configuration
from node.desk.site import open_ledger
from node.errors import NodeError, NotFoundError
from node.kit.quiet_log import quiet
from node.ledger import commissionings
from node.run import digests
from node.run.catalogue import SitePlugin
from node.run.commissioning import LACKS_EXAMPLES, commissioning_digest
from node.run.file_digests import FileDigests

NOT_MAPPED_BACK = (
    "it gets pseudonyms: what its objects say in pixels or in encapsulated documents (PDF) of the patient, of UIDs and"
    " dates stays so; attributes get the true values again"
)
_passed: set[tuple[str, str]] = set()
"""Digest of what runs and of its examples, and how it is limited and confined, of those that passed in this process."""


def problems(site: Configuration, plugins: Sequence[SitePlugin]) -> dict[str, str]:
    """Plugin → why it would not run: it may not, it does not start, or its examples do not pass."""
    from node.run import starts  # with it comes what reads images, which `serve` has no use for

    found = {name: f"it cannot start: {problem}" for name, problem in starts.problems(plugins).items()}
    found |= {each.name: f"it does not run: {each.isolation.refusal}" for each in plugins if each.isolation.refusal}
    for plugin in plugins:
        if plugin.name not in found and (problem := _examples_problem(site, plugin)):
            found[plugin.name] = problem
    return found


def _examples_problem(site: Configuration, plugin: SitePlugin) -> str:
    """What differs in its examples, by the last time that they were run as it is now, else by running them."""
    try:
        digest = commissioning_digest(plugin.manifest, digests.for_command(site.node.data), FileDigests())
        if not digest and plugin.manifest.runtime.needs_examples:
            return LACKS_EXAMPLES
        here = digest, repr((plugin.isolation, plugin.limits, plugin.site_parameters))
        if not digest or here in _passed or _has_passed(site, plugin.name, digest):
            return ""
        from node.kit.commissioning import commission  # the stages, which are only needed to run something

        with quiet():
            verdict = commission(plugin.name, site)
    except (NodeError, OSError) as error:
        return f"its examples cannot be run: {error}"
    if verdict.passed:
        _passed.add(here)
    return "" if verdict.passed else f"its examples: {verdict.detail} (pacsnode plugin check {plugin.name})"


def _has_passed(site: Configuration, name: str, digest: str) -> bool:
    try:
        with open_ledger(site).snapshot() as database:
            known = commissionings.of_digest(database, name, digest)
    except NotFoundError:
        return False
    return known is not None and known.passed
