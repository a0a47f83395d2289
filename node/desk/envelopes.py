"""The envelopes of a site's plugins, checked against what rules would run them on."""

from __future__ import annotations

from node import envelope
from node.config import plugins as configured
from node.config.envelope import EnvelopeUse
from node.config.models import Configuration
from node.envelope import EnvelopeVerdict, RunOutside
from plugins.envelope import Envelope
from plugins.manifest_table import ManifestError
from rules.decision import PlannedRun
from rules.facts import StudyFacts


class SiteEnvelopes:
    """Manifests are read when they are first asked for; a plugin that cannot be used states nothing."""

    def __init__(self, configuration: Configuration) -> None:
        self._uses = configuration.plugins
        self._known: dict[str, tuple[Envelope, EnvelopeUse]] = {}

    def verdict(self, facts: StudyFacts, run: PlannedRun) -> EnvelopeVerdict:
        """What would become of a run by the envelope of its plugin."""
        stated, use = self._of(run.plugin)
        return envelope.of_run(stated, use, facts, run)

    def outside(self, facts: StudyFacts, run: PlannedRun) -> RunOutside | None:
        """The same as a replay counts it."""
        verdict = self.verdict(facts, run)
        if not verdict.reasons:
            return None
        return RunOutside(envelope.scanner_of(facts, run), tuple(verdict.limits), verdict.is_refused)

    def _of(self, plugin: str) -> tuple[Envelope, EnvelopeUse]:
        name = configured.folded(plugin)
        if name not in self._known:
            use = next((use for known, use in self._uses.items() if configured.folded(known) == name), None)
            self._known[name] = (self._stated(plugin), use.envelope if use else EnvelopeUse())
        return self._known[name]

    def _stated(self, plugin: str) -> Envelope:
        try:
            manifest = configured.manifest_of(plugin, self._uses)
        except ManifestError:  # `check` says what is wrong with it
            return ()
        return manifest.envelope if manifest else ()
