"""Which plugins a site has, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.models import PluginUse
from node.errors import NotFoundError
from node.run import catalogue
from node.run.kinds.command import CommandExecutor
from plugins.manifest import ParameterError
from tests.support.sites.job_site import NOT_ISOLATED, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_sites_limits_win_over_the_manifests(site: Site) -> None:
    """deadline and memory of the configuration, else those of plugin.toml."""
    site.python_plugin("mine", deadline="90s", memory="2GiB", at_once=3, attempts=5)
    folder = site.uses["mine"].folder
    plain = catalogue.load({"mine": PluginUse(folder=folder)}, site.spool.data, NOT_ISOLATED).find("mine")
    assert (plain.limits.deadline_seconds, plain.limits.memory_bytes) == (600, 4096 * 2**20)
    mine = site.catalogue(NOT_ISOLATED).find("mine")
    assert (mine.limits.deadline_seconds, mine.limits.memory_bytes) == (90, 2 * 2**30)
    assert (mine.at_once, mine.attempts) == (3, 5)


def test_parameters_are_the_rules_then_the_sites_then_the_plugins(site: Site) -> None:
    """Each overrides the next; what the manifest does not know is refused by name."""
    site.python_plugin("mine", parameters={"level": 7})
    plugins = site.catalogue(NOT_ISOLATED)
    assert plugins.parameters_for("mine", {}) == {"level": 7}
    assert plugins.parameters_for("mine", {"level": 9}) == {"level": 9}
    with pytest.raises(ParameterError, match=r"'levle'.*did you mean 'level'"):
        plugins.parameters_for("mine", {"levle": 9})


def test_built_in_plugins_are_found_with_dash_and_underscore(site: Site) -> None:
    """`lung-density` and `lung_density` are one plugin, without a word in the configuration."""
    plugins = site.catalogue(NOT_ISOLATED)
    assert plugins.find("lung_density") is plugins.find("lung-density")
    assert isinstance(plugins.find("lung-density").executor, CommandExecutor)


def test_what_cannot_be_used_is_a_problem_with_its_name(site: Site, tmp_path: Path) -> None:
    """No manifest, a wrong parameter of the site, a missing program, a missing interpreter: none stops the others."""
    site.python_plugin("good")
    site.python_plugin("wrong", parameters={"level": "high"})
    site.command_plugin("lost", "#!/bin/sh\n")
    lost = site.uses["lost"].folder
    assert lost is not None
    (lost / "program").chmod(0o644)
    site.uses["empty"] = PluginUse(folder=tmp_path)
    site.uses["nowhere"] = PluginUse()
    plugins = site.catalogue(NOT_ISOLATED)
    assert set(plugins.problems) == {"wrong", "lost", "empty", "nowhere"}
    assert "parameter 'level'" in plugins.problems["wrong"]
    assert "program is not there, or may not be executed" in plugins.problems["lost"]
    assert "plugin.toml" in plugins.problems["empty"]
    assert "plugins.nowhere.folder" in plugins.problems["nowhere"]
    assert plugins.find("good").name == "good"
    with pytest.raises(NotFoundError, match=r"plugin empty cannot be used: .*plugin.toml"):
        plugins.find("empty")


def test_an_interpreter_of_its_own_is_asked_for_its_paths(site: Site) -> None:
    """A plugin's Python that is no Python is found out when the catalogue is loaded, not at night."""
    site.python_plugin("mine")
    folder = site.uses["mine"].folder
    assert folder is not None
    (folder / "python").write_text("#!/bin/sh\necho no\n")
    (folder / "python").chmod(0o755)
    manifest = (folder / "plugin.toml").read_text()
    (folder / "plugin.toml").write_text(manifest.replace("entry =", 'interpreter = "python"\nentry ='))
    assert "does not run" in site.catalogue(NOT_ISOLATED).problems["mine"]
