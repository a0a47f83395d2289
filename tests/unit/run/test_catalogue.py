"""Which plugins a site has, and what is wrong with them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from node.config.allowing import PluginGrants
from node.config.from_values import validated
from node.config.models import PluginUse
from node.errors import NotFoundError
from node.run import catalogue, confinement, sandbox
from node.run.executor import AttemptLimits, ExitKind, ProcessWatch
from node.run.kinds import python, registry
from node.run.kinds.python import PythonExecutor
from node.run.sandbox import Isolation
from node.run.users import PluginUser
from node.run.workers import WarmWorkers
from plugins.manifest import ParameterError
from plugins.privileges import Endpoint, Privileges
from plugins.runtime import RuntimeKind
from tests.support.sites.job_site import NOT_ISOLATED, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_sites_limits_win_over_the_manifests(site: Site) -> None:
    """deadline and memory of the configuration, else those of plugin.toml."""
    site.python_plugin("mine", deadline="90s", memory="2GiB", at_once=3, attempts=5)
    folder = site.uses["mine"].folder
    plain = catalogue.load({"mine": PluginUse(folder=folder)}, site.data_folder.data, NOT_ISOLATED).find("mine")
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
    assert isinstance(plugins.find("lung-density").executor, PythonExecutor)


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


def test_a_module_that_is_not_installed_makes_a_plugin_unusable(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, without importing anything; those that ship with the node say by which extra they come."""
    site.python_plugin("mine")
    folder = site.uses["mine"].folder
    assert folder is not None
    text = (folder / "plugin.toml").read_text()
    (folder / "plugin.toml").write_text(text.replace("entry =", 'requires = ["numpy", "no_such_thing"]\nentry ='))
    found = site.catalogue(NOT_ISOLATED)
    assert found.problems == {"mine": "no_such_thing is not installed"}
    (folder / "no_such_thing.py").touch()
    assert site.catalogue(NOT_ISOLATED).problems == {}
    monkeypatch.setattr(python, "lacks", lambda asked, folder, modules: [each for each in modules if "onnx" in each])
    lacking = "onnxruntime is not installed: pip install 'pacsnode[onnx]'"
    assert site.catalogue(NOT_ISOLATED).problems == {"brain-tissue": lacking}


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (b"#!/bin/sh\r\nexit 0\r\n", "its lines end as on Windows"),
        (b"#!/opt/none/python -u\n", "its first line names /opt/none/python, which is not there"),
        (b"#! /bin/sh -e\nexit 0\n", ""),
        (b"\x7fELF\r\n", ""),
    ],
)
def test_a_script_whose_first_line_cannot_be_is_a_problem_of_the_configuration(
    site: Site, script: bytes, says: str
) -> None:
    """The system says only that there is no such file, and means the interpreter."""
    site.command_plugin("script", "#!/bin/sh\n")
    (site.folder / "plugins" / "script" / "program").write_bytes(script)
    assert says in site.catalogue(NOT_ISOLATED).problems.get("script", "")
    assert bool(says) == ("script" in site.catalogue(NOT_ISOLATED).problems)


def test_every_kind_of_a_manifest_has_its_module() -> None:
    """And no module is without a kind."""
    assert registry.KINDS.keys() == set(RuntimeKind)


def test_what_was_granted_and_is_not_there_is_a_problem(site: Site) -> None:
    """A folder of models, a secret's file, a GPU: found when the configuration is checked."""
    site.command_plugin("asks", "#!/bin/sh\n")
    folder = site.uses["asks"].folder
    assert folder is not None
    manifest = (folder / "plugin.toml").read_text()
    asked = {
        "readable": ('readable = ["/gone"]', {"readable": ["/gone"]}, "runtime.readable: /gone is not there"),
        "secret": ('environment = {A = "x"}', {"environment": {"A": {"file": "/gone"}}}, "A: there is no file /gone"),
        "gpu": ("gpu = true", {"gpu": True}, "runtime.gpu: this machine has no GPU device"),
    }
    for name, (line, allow, problem) in asked.items():
        if name == "gpu" and sandbox.gpus():
            continue
        (folder / "plugin.toml").write_text(manifest.replace("command =", f"{line}\ncommand ="))
        site.uses["asks"] = PluginUse(folder=folder, allow=PluginGrants.model_validate(allow))
        assert problem in site.catalogue(NOT_ISOLATED).problems["asks"]


def test_a_gpu_is_shown_to_a_plugin_that_was_granted_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And to no other."""
    monkeypatch.setattr(sandbox, "gpus", lambda: [Path("/dev/nvidia0")])
    box, limits = sandbox.Sandbox("bwrap", ()), AttemptLimits(1, 1)
    with_gpu = box.wrap(["x"], tmp_path, [], tmp_path, limits, Privileges(gpu=True))
    assert with_gpu[with_gpu.index("--dev-bind") :][:3] == ["--dev-bind", "/dev/nvidia0", "/dev/nvidia0"]
    assert "--dev-bind" not in box.wrap(["x"], tmp_path, [], tmp_path, limits)


def test_where_isolation_is_required_and_not_to_be_had_a_plugin_does_not_run(site: Site, tmp_path: Path) -> None:
    """Each attempt says why and what to do; `isolation: off` of one plugin is its own; `status` is red."""
    same = Isolation(sandbox.Sandbox("bwrap", ()), "", same_user="there is no user pacsnode-plugin: make it")
    site.command_plugin("strict", "#!/bin/sh\n", isolation="required")
    site.command_plugin("open", "#!/bin/sh\n", isolation="off")
    site.command_plugin("plain", "#!/bin/sh\n")
    plugins = site.catalogue(same)
    watch = ProcessWatch(threading.Event(), lambda _: None, WarmWorkers(tmp_path))
    ended = plugins.find("strict").executor.execute(tmp_path, AttemptLimits(1, 1), watch)
    assert (ended.ending, "there is no user pacsnode-plugin: make it" in ended.detail) == (ExitKind.NOT_STARTED, True)
    assert plugins.find("open").isolation.sandbox is None
    assert plugins.find("plain").isolation.sandbox == same.sandbox
    assert confinement.of(plugins.find("strict").isolation, as_root=False).severity == "alert"
    apart = replace(same, sandbox=sandbox.Sandbox("bwrap", (), PluginUser(1, 1, (), (), "p")))
    assert not sandbox.as_set(apart, "required").refusal


def test_check_and_status_say_what_is_in_force_for_each_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line for all, and one for each plugin that differs, as red as it has to be."""
    same = Isolation(sandbox.Sandbox("bwrap", ()), "", same_user="no user")
    monkeypatch.setattr(sandbox, "isolation", lambda: same)
    uses = {"strict": {"isolation": "required"}, "open": {"isolation": "off"}, "same": {"isolation": "auto"}}
    told = validated({"node": {"time_zone": "UTC"}, "plugins": uses}, tmp_path)
    found = confinement.tried(told)
    assert (found.isolated, found.severity) == (True, "warning")
    shown = {each.name: (each.severity, each.text) for each in found.plugins}
    assert shown.keys() == {"strict", "open"}
    assert shown["strict"][0] == "alert"
    assert "isolation: off" in shown["open"][1]
    given = replace(
        same, privileges=Privileges((Endpoint("a", 1),), (Path("/m"),), (("A", Path("/s")), ("B", "x")), gpu=True)
    )
    assert confinement.granted("p", given) == "p: connects to a:1; reads /m; environment A (/s), B; GPUs"
    assert confinement.granted("p", same) == "p: no network"
    assert "not restricted" in confinement.granted("p", NOT_ISOLATED)
