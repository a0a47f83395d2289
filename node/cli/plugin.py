"""`pacsnode plugin`: for those who write plugins, and those who let them in."""

from __future__ import annotations

import os
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from node.cli import output, recalling, site
from node.cli.output import ExitCode, cell
from node.config.models import Configuration
from node.config.problems import ConfigurationError
from node.desk import site as sites
from node.desk.site import PluginsConfiguration
from node.errors import UsageError

plugin = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Write, try, check and look at plugins.",
)

_Choices = TypeVar("_Choices", bound=StrEnum)
PluginName = Annotated[
    str, typer.Argument(metavar="PLUGIN", help="A folder with a plugin.toml, or the name of a plugin.")
]
SiteConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="PACSNODE_CONFIG",
        help="The site whose limits, parameters and destinations are used. Without it: the plugin's own limits, and a "
        "destination with default settings.",
    ),
]


def _site(config: Path | None, name: str = "") -> PluginsConfiguration | None:
    """The site; ConfigurationError where more is wrong than with plugins, or something with the one of this name."""
    if config is None:
        return None
    found = sites.load_for_plugins(config)
    if name and (problems := found.problems_of(_known_as(name, found.configuration))):
        raise ConfigurationError(problems)
    return found


def _known_as(name: str, configuration: Configuration) -> str:
    """What the site calls the plugin of a folder or a name."""
    from node.kit import chosen

    return chosen.known_as(Path(name), configuration) or name if Path(name).is_dir() else name


def _site_here(config: Path | None, name: str = "") -> PluginsConfiguration | None:
    """The site that is named; else that of this folder, as for other commands.

    But for the folder of an author: it has none, unless it is a plugin of the site that has this very name.
    """
    if config is not None or not site.DEFAULT_CONFIG.is_file():
        return _site(config, name)
    is_folder = bool(name) and Path(name).is_dir()
    if is_folder and os.sep in name:
        return None
    if is_folder and name not in sites.load_for_plugins(site.DEFAULT_CONFIG).configuration.plugins:
        return None
    return _site(site.DEFAULT_CONFIG, name)


def _configuration(found: PluginsConfiguration | None) -> Configuration | None:
    return found.configuration if found else None


@plugin.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to make. Its name is the plugin's.")],
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="python (a class, the default), command, container, or onnx (a model file)."),
    ] = None,
    purpose: Annotated[
        str | None,
        typer.Option("--for", help="What it says: volume (the default), segmentation, score (of a CT), or projection."),
    ] = None,
    exchange: Annotated[
        str, typer.Option("--exchange", help="nifti: a command for segmentation that reads and writes NIfTI.")
    ] = "pacsnode",
    model: Annotated[
        Path | None, typer.Option("--model", help="onnx: the model file, whose inputs and outputs are written down.")
    ] = None,
) -> None:
    """Make a plugin that runs at once: manifest, code, README, and an example whose answer is known."""
    from node.kit import writing
    from plugins.exchanges import ExchangeForm
    from plugins.runtime import RuntimeKind

    if model is not None:
        _new_of_model(folder, kind, model)
        return
    form = _member(ExchangeForm, exchange, "--exchange")
    usual = ("command", "segmentation") if form is ExchangeForm.NIFTI else ("python", "volume")
    made = writing.write(
        folder,
        _member(RuntimeKind, kind or usual[0], "--kind"),
        _member(writing.PluginPurpose, purpose or usual[1], "--for"),
        form,
    )
    for path in made:
        output.console().print(cell(path), soft_wrap=True)
    images = folder / writing.EXAMPLE_IMAGES
    output.console().print()
    if (folder / writing.BUILD).exists():
        output.console().print(cell(f"build its image: {folder / writing.BUILD}"), soft_wrap=True)
    output.console().print(cell(f"run it: pacsnode plugin run {folder} {images}"), soft_wrap=True)


def _new_of_model(folder: Path, kind: str | None, model: Path) -> None:
    from node.kit import model_manifests
    from plugins.runtime import RuntimeKind

    if _member(RuntimeKind, kind or RuntimeKind.ONNX, "--kind") is not RuntimeKind.ONNX:
        raise UsageError(f"--model is for --kind {RuntimeKind.ONNX}")
    for path in model_manifests.write(folder, model):
        output.console().print(cell(path), soft_wrap=True)
    output.console().print()
    output.console().print(cell(f"fill in each TODO, then: pacsnode plugin run {folder} IMAGES"), soft_wrap=True)


@plugin.command()
def run(
    name: PluginName,
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGES", help="Files and folders with the DICOM images of one study."),
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="name=value, as a rule would give it. Repeatable.")
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help="name=FOLDER: images that are given under a role, such as prior. Repeatable."),
    ] = None,
    age: Annotated[int | None, typer.Option("--age", min=0, max=150, help="The patient's age in years.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Where to write what would be sent.")] = Path("out"),
    config: SiteConfig = None,
    as_json: site.AsJson = False,
) -> None:
    """Run a plugin on images as a node does, and write what would be sent.

    The stages of the node do it: copies under pseudonyms, confinement, limits, reading of the result, the gate, the
    encoder. Objects, pages as PNG, the text of the report and the log are written. Nothing is sent. Exit code 1: it
    failed, or a site would refuse what it says.
    """
    from node.cli import plugin_pages
    from node.kit import chosen, running
    from node.kit.quiet_log import quiet
    from node.kit.receiving import GivenImages, files_of
    from plugins.manifest import ParameterError

    choice = chosen.choose(name, _configuration(_site(config, name)))
    folders = _pairs(role, "--role", "prior=FOLDER")
    if not images and not folders:
        raise UsageError("name the images of a study, or at least one --role with its folder")
    given = GivenImages(files_of(images or []), {key: files_of([Path(each)]) for key, each in folders}, age)
    try:
        with quiet():
            parameters = chosen.parameters(choice, _pairs(parameter, "--parameter", "name=value"))
            answer = running.run(choice, given, parameters, out)
    except ParameterError as error:
        raise UsageError(str(error)) from error
    plugin_pages.show_answer(answer, out, as_json=as_json)
    if not answer.worked:
        raise typer.Exit(ExitCode.FAILED)


@plugin.command()
def check(name: PluginName, config: SiteConfig = None, as_json: site.AsJson = False) -> None:
    """Check a plugin: does it start, is it right on its examples, the same twice, and does it refuse wrong images?

    With --config, what comes of the examples is kept: a plugin of the site that passes goes live. Exit code 1:
    something is wrong.
    """
    from node.cli import plugin_pages
    from node.kit import checking, chosen
    from node.kit.quiet_log import quiet

    configuration = _configuration(_site_here(config, name))
    choice = chosen.choose(name, configuration)
    with quiet():
        found = list(plugin_pages.shown_while_it_lasts(checking.check(choice), as_json=as_json))
        if configuration is not None:
            checking.keep(choice, configuration, found)
    if not all(each.passed for each in found):
        raise typer.Exit(ExitCode.FAILED)


@plugin.command()
def load(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="What `podman save` or `docker save` wrote.")],
    of: Annotated[
        Path | None, typer.Option("--plugin", metavar="FOLDER", help="The plugin that has to pin this very image.")
    ] = None,
    config: SiteConfig = None,
    as_json: site.AsJson = False,
) -> None:
    """Load the image of a container from an archive, and print the digest that pins it.

    The archive is checked first: what is damaged, or is not the image that the plugin pins, is not loaded. The image
    goes to the engine of the user who runs this, which has to be the user that the node runs as. Exit code 1: it was
    not loaded.
    """
    from node.kit import loading

    configuration = _configuration(_site_here(config))
    loaded = loading.load(archive, configuration.node.containers if configuration else "auto", of)
    if as_json:
        output.as_json(asdict(loaded))
        return
    how = "was there already" if loaded.was_here else "loaded"
    output.console().print(cell(f"{how}: {loaded.engine}"), soft_wrap=True)
    output.console().print(cell(f'image = "{loaded.id}"'), soft_wrap=True)


@plugin.command("list")
def list_(
    config: SiteConfig = None,
    inventory: Annotated[
        bool,
        typer.Option(
            "--inventory", help="The record of each version that is here or has run here: use, clearance, limits, jobs."
        ),
    ] = False,
    as_json: site.AsJson = False,
) -> None:
    """List the plugins of the site and those that ship with the node, each with its state.

    Exit code 1: one of them cannot be used as the site wants it; its state says why.
    """
    from node.cli import plugin_pages
    from node.kit import listing

    found = _site_here(config)
    if inventory:
        from node.kit import inventory as record

        plugin_pages.show_inventory(record.entries(_configuration(found)), as_json=as_json)
        return
    problems = found.problems if found else ()
    entries = listing.entries(_configuration(found), {each.plugin: each.message for each in problems})
    plugin_pages.show_list(entries, as_json=as_json)
    if not as_json:
        for each in problems:
            output.error(str(each))
    if any(each.unusable for each in entries):
        raise typer.Exit(ExitCode.FAILED)


plugin.command()(recalling.withdraw)
plugin.command()(recalling.reinstate)


@plugin.command()
def show(name: PluginName, config: SiteConfig = None, as_json: site.AsJson = False) -> None:
    """Show a plugin as the node understands it: manifest, limits, confinement, digests, and its last commissioning."""
    from node.cli import plugin_pages
    from node.kit import chosen, listing

    configuration = _configuration(_site_here(config, name))
    plugin_pages.show_facts(listing.facts(chosen.choose(name, configuration), configuration), as_json=as_json)


@plugin.command()
def log(
    what: Annotated[
        str,
        typer.Argument(
            metavar="JOB", help="A job, by the beginning of its id; or a study, by UID or accession number."
        ),
    ],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
) -> None:
    """Show what a plugin printed in its attempts at a job, and the line of its code that failed."""
    from node.desk import plugin_log
    from node.desk.site import open_ledger

    configuration = site.known(config)
    for line in plugin_log.lines(open_ledger(configuration), configuration.node.data, what):
        output.console().print(cell(line), soft_wrap=True)


def _pairs(texts: list[str] | None, option: str, form: str) -> list[tuple[str, str]]:
    """`name=value` of a repeatable option."""
    found = []
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"{option} {text}: expected {form}")
        found.append((name, value))
    return found


def _member(kind: type[_Choices], name: str, option: str) -> _Choices:
    try:
        return kind(name)
    except ValueError:
        raise UsageError(f"{option} {name}: expected one of {', '.join(kind)}") from None
