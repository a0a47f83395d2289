"""`plugin check`: what a site would find out about a plugin, before a site does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from node.clock import SystemClock
from node.config import allowing
from node.config.allowing import PluginGrants
from node.config.models import Configuration, PluginUse
from node.desk.actor import who_types
from node.desk.site import open_ledger
from node.errors import NotFoundError, UsageError
from node.kit import commissioning, examples, left_running, repeating, wrong_inputs
from node.kit.chosen import PluginChoice
from node.kit.commissioning import ExampleOutcome
from node.kit.examples import CommissioningExample
from node.kit.readiness import NOT_MAPPED_BACK
from node.kit.receiving import kept_result, log_of, receive
from node.kit.small_node import ImageSet, PluginTask, SmallNode, small_node
from node.kit.wrong_inputs import WrongInput
from node.ledger import attempts, commissionings
from node.ledger.job import Job, JobOutcome, JobStatus
from node.run import catalogue, starts
from node.run.catalogue import SitePlugin
from node.run.commissioning import LACKS_EXAMPLES, commissioning_digest
from node.run.digests import CodeDigests
from node.run.file_digests import FileDigests
from plugins import exchange, leftovers
from plugins.manifest import Output
from plugins.runtime import PatientIdentity

EXAMPLE = "example "
"""Before the name of one, in `CheckFinding.what`."""
_TRY_AGAIN = "the machine may have been too busy or too full: try it again"
_SHARE = 0.8
"""Of a limit; an example beyond it leaves too little room for a slower machine, or for a larger study."""


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One thing that was looked at."""

    what: str
    passed: bool
    detail: str = ""
    warning: bool = False
    """It passed, and is worth a look."""
    perhaps_machine: bool = False
    """It failed as a busy or full machine makes one fail: it is worth another try."""


def check(choice: PluginChoice) -> Iterator[CheckFinding]:
    """All that is found out, in the order in which it is; UsageError where the plugin cannot be read."""
    with small_node(choice.configuration) as node:
        plugin = choice.to_run(node.node.store.data)
        identity = plugin.manifest.identity
        yield CheckFinding("manifest", True, f"{identity.name} {identity.version} ({identity.manufacturer})")
        lacking = ", ".join(allowing.lacking(plugin.manifest.runtime.privileges, _allowed(choice)))
        if lacking:
            told = f"it gets nothing of what it asks for until a site writes  allow: {{{lacking}}}"
            yield CheckFinding("privileges", True, told, warning=True)
        yield from _returned(plugin)
        problem = starts.problems([plugin]).get(plugin.name)
        if problem:
            yield CheckFinding("start", False, problem)
            return
        yield CheckFinding("start", True)
        known = examples.load(plugin.manifest.folder)
        if not known:
            may_go_on = not plugin.manifest.runtime.needs_examples
            told = f"there is no {examples.FOLDER}/: nothing that it says was checked" if may_go_on else LACKS_EXAMPLES
            yield CheckFinding("examples", may_go_on, told, warning=True)
            return
        for example in known:
            yield _example(example, commissioning.outcome(node, plugin, example))
        try:
            _, roles = receive(node, known[0].images)
        except UsageError:  # the example said so
            return
        yield from _twice(node, plugin, known[0])
        for wrong in wrong_inputs.of(known[0].images.files, node.node.store.data / "wrong"):
            yield _refusal(node, plugin, wrong, roles)


def _returned(plugin: SitePlugin) -> Iterator[CheckFinding]:
    """What of the DICOM that it returns nobody can put right."""
    manifest = plugin.manifest
    if Output.DICOM in manifest.outputs and manifest.runtime.identity is PatientIdentity.PSEUDONYM:
        yield CheckFinding("returned DICOM", True, NOT_MAPPED_BACK, warning=True)


def _example(example: CommissioningExample, said: ExampleOutcome) -> CheckFinding:
    more = (_TRY_AGAIN,) if said.perhaps_machine else ()
    return CheckFinding(
        f"{EXAMPLE}{example.name}",
        not said.differences,
        "\n".join((*said.differences, *more)) if said.differences else "",
        perhaps_machine=bool(said.differences) and said.perhaps_machine,
    )


def _allowed(choice: PluginChoice) -> PluginGrants:
    return choice.configuration.plugins.get(choice.name, PluginUse()).allow


def _twice(node: SmallNode, plugin: SitePlugin, example: CommissioningExample) -> Iterator[CheckFinding]:
    """Whether equal input gives equal bytes; what a run takes, and what of the result is odd; whether it is encoded."""
    own, roles = receive(node, example.images)
    one, other = (node.run(PluginTask(plugin, own, roles, example.parameters)) for _ in range(2))
    same = _content_of(node, one) == _content_of(node, other)
    yield CheckFinding("determinism", same, "" if same else "two runs on the same images gave different results")
    yield from _costs(node, plugin, one)
    yield from _empty_segments(node, one)
    watched = left_running.looked_after(plugin)
    looked_at = node.run(PluginTask(watched, own, roles, example.parameters)) if watched else one
    left = [line for line in log_of(node, looked_at).splitlines() if line.startswith(leftovers.NOTE)]
    yield CheckFinding("processes", True, "".join(left), warning=bool(left))
    if one.status is JobStatus.ENDED:
        encoded = node.encode(one)
        said = encoded.error or ""
        passed = encoded.status is JobStatus.REPORTED and encoded.outcome == one.outcome
        yield CheckFinding("encoding", passed, said if not passed else "")


def _content_of(node: SmallNode, job: Job) -> dict[str, Counter[str]]:
    """What the kept result says, to be compared."""
    return repeating.content_of(node.node.store.data / job.result / exchange.OUT) if job.result else {}


def _costs(node: SmallNode, plugin: SitePlugin, job: Job) -> Iterator[CheckFinding]:
    last = attempts.last_of(node.node.ledger.database, job.id)
    if last is None:
        return
    for what, used, allowed, unit in (
        ("time", last.seconds or 0.0, plugin.limits.deadline_seconds, "s"),
        ("memory", (last.peak_memory or 0) / 2**20, plugin.limits.memory_bytes / 2**20, "MiB"),
    ):
        yield CheckFinding(what, True, f"{used:.4g} of {allowed:g} {unit}", warning=used > _SHARE * allowed)


def _empty_segments(node: SmallNode, job: Job) -> Iterator[CheckFinding]:
    result = kept_result(node, job)
    if result is None or result.segmentation is None:
        return
    planes = result.segmentation.planes
    empty = [
        each.label
        for each in result.segmentation.segments
        if not any(bool((plane == each.number).any()) for plane in planes)
    ]
    told = f"without a voxel: {', '.join(empty)}" if empty else ""
    yield CheckFinding("segments", True, told, warning=bool(empty))


def _refusal(node: SmallNode, plugin: SitePlugin, wrong: WrongInput, roles: Mapping[str, ImageSet]) -> CheckFinding:
    """It has to say that it is not for these, or to fail: anything else would be read as an answer."""
    what = f"wrong input: {wrong.name}"
    try:
        images = node.receive(wrong.files)
    except UsageError:
        return CheckFinding(what, True, "the node hands over no such images")
    job = node.run(PluginTask(plugin, images, roles))
    if job.outcome is JobOutcome.NOT_APPLICABLE:
        result = kept_result(node, job)
        return CheckFinding(what, True, result.summary if result else "")
    if job.outcome in (JobOutcome.FINDINGS, JobOutcome.NO_FINDINGS):
        return CheckFinding(what, False, f"it answered {job.outcome}, as if it were for these images")
    return CheckFinding(what, True, f"it failed, better were NotApplicableError: {job.error}", warning=True)


def keep(choice: PluginChoice, site: Configuration, found: Sequence[CheckFinding]) -> None:
    """Have the site's ledger know what came of the examples, where there is one and the site has this plugin.

    Not what the machine may have caused: a plugin that is live stays so.
    """
    tried = [each for each in found if each.what.startswith(EXAMPLE)]
    bad = [f"{each.what.removeprefix(EXAMPLE)}: {each.detail}" for each in tried if not each.passed]
    if bad and all(each.perhaps_machine for each in tried if not each.passed):
        return
    if not tried or choice.name not in catalogue.load(site.plugins, site.node.data).plugins:
        return
    try:
        ledger = open_ledger(site)
    except NotFoundError:
        return
    manifest = choice.manifest
    digest = commissioning_digest(manifest, CodeDigests(site.node.data), FileDigests())
    good = ", ".join(each.what.removeprefix(EXAMPLE) for each in tried)
    with ledger.transaction() as database:
        now, by = SystemClock().now(), str(who_types())
        detail = "\n".join(bad) or f"passed: {good}"
        commissionings.record(database, now, choice.name, digest, detail, passed=not bad, by=by)
