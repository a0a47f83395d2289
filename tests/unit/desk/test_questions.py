"""What people see, as values: the overview, one study, what explains a decision, the versions of the rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.desk import explain, find, overview, plain_overview, rules, site, study, warnings
from node.errors import NotFoundError, UsageError
from node.ledger import decisions
from node.ledger.database import Ledger
from tests.support.sites.configurations import with_destinations
from tests.support.sites.past import ARRIVING, FAILED, GOOD, HELD, NOW, ROOT


def test_the_overview_has_what_needs_a_person(config: Path, ledger: Ledger) -> None:
    """A held study, held and dead deliveries, a failed job; and in words what is wrong with the site."""
    standing = site.standing(config)
    found = overview.look(ledger, standing.configuration, standing)
    assert found.health.running is None
    assert [each.study_instance_uid for each in found.attention.held_studies] == [HELD]
    assert [each.id for each in found.attention.dead] == [2]
    assert [each.study_instance_uid for each in found.troubled] == [FAILED]
    told = [text for _, text in warnings.of(found, standing.configuration)]
    assert any(text.startswith("research: results are sent without") for text in told)
    assert any(each.study.study_instance_uid == ARRIVING for each in found.latest)


def test_scripts_see_no_patient_unless_they_ask(config: Path, ledger: Ledger) -> None:
    """Neither in the overview nor in a study."""
    standing = site.standing(config)
    found = overview.look(ledger, standing.configuration, standing)
    history = study.look(ledger, GOOD, with_destinations())
    for identify in (False, True):
        shown = plain_overview.of(found, standing.configuration, identify=identify)
        assert ("SECRET-4711" in str(shown)) is identify
        assert ("SECRET-4711" in str(study.for_scripts(history, explain=True, identify=identify))) is identify


def test_a_study_is_gathered_with_all_that_happened_to_it(ledger: Ledger) -> None:
    """By its accession number; each kind of row of this study and of no other."""
    found = study.look(ledger, "20260302-0017", with_destinations())
    assert found.study.study_instance_uid == GOOD
    assert [each.rule for each in found.decisions] == ["thin-chest"]
    assert [each.status for each in found.deliveries] == ["delivered", "dead", "held"]
    assert [each.destination for each in found.identities] == ["pacs"]
    assert {each.study_instance_uid for each in found.events} == {GOOD}
    assert study.look(ledger, HELD, with_destinations()).jobs == []


def test_a_name_that_means_several_studies_is_refused_with_all_of_them(ledger: Ledger) -> None:
    """Nothing is guessed."""
    with ledger.reading() as database:
        with pytest.raises(UsageError, match=f"(?s)names 4 studies.*{GOOD}"):
            find.study(database, ROOT)
        with pytest.raises(NotFoundError):
            find.study(database, "…")


def test_a_rule_that_is_not_there_is_answered_with_what_was_meant(config: Path, ledger: Ledger) -> None:
    """Before any study is looked for."""
    configuration = site.load(config)
    with pytest.raises(UsageError, match='there is no rule "thin-chets"; there is none'):
        explain.explain(configuration, [GOOD], "thin-chets", NOW)
    found = explain.explain(configuration, [GOOD], None, NOW)
    assert [each.facts.study_instance_uid for each in found.studies] == [GOOD]


def test_two_versions_of_the_rules_differ_by_lines(ledger: Ledger) -> None:
    """As a person would write them."""
    with ledger.transaction() as database:
        decisions.keep_rule_set(database, NOW, "a" * 64, '[{"name": "one", "when": {"Modality": "CT"}}]')
        decisions.keep_rule_set(database, NOW, "b" * 64, '[{"name": "one", "when": {"Modality": "MR"}}]')
    lines = rules.difference(ledger, "aaaa", "bbbb").lines
    assert [line.split()[-1] for line in lines if line[:1] in "-+" and line[1:2] == " "] == ["CT", "MR"]
    assert rules.kept(ledger, "aaaa").text().startswith(f"# version {'a' * 64}\nrules:")
    with pytest.raises(NotFoundError):
        rules.kept(ledger, "c")
