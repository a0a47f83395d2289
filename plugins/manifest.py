"""`plugin.toml`: who an algorithm is, how it is run, what it may return and which parameters it takes.

A mistake in it is found when the node starts (or by `pacsnode check`), with file, line and key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path

from plugins import concepts, nifti_mapping, sockets, vendor_scores, weights
from plugins import envelope as envelopes
from plugins import runtime as runtimes
from plugins.concepts import Concept
from plugins.contract import AlgorithmIdentity, Code, ContractError, Result
from plugins.envelope import Envelope
from plugins.exchanges import ExchangeForm
from plugins.manifest_table import TYPE_NAMES, ManifestError, ManifestTable
from plugins.model import reading as model_reading
from plugins.model.mapping import HeatmapOutput, OnnxModel
from plugins.nifti_mapping import NiftiFolders
from plugins.runtime import Runtime, RuntimeKind
from plugins.spelling import did_you_mean
from plugins.vendor_scores import VendorScore

MANIFEST = "plugin.toml"
SCHEMA = 1

_STATEMENT_LIMIT = 2000
ParameterValue = bool | int | float | str


class ParameterError(ValueError):
    """A parameter's value that the plugin's manifest does not allow; the message names the parameter."""


class Output(StrEnum):
    """The parts of a `Result` that a plugin may fill, named as there but for DICOM objects."""

    FINDINGS = "findings"
    SEGMENTATION = "segmentation"
    HEATMAPS = "heatmaps"
    KEY_IMAGES = "key_images"
    PICTURES = "pictures"
    DOCUMENTS = "documents"
    DICOM = "dicom"
    """`Result.objects`."""

    @property
    def field(self) -> str:
        """The field of a result that holds it."""
        return "objects" if self is Output.DICOM else self.value


@dataclass(frozen=True, slots=True)
class ManifestStatements:
    """What its maker states of an algorithm for the inventory of a site; empty where it states nothing."""

    clearance: str = ""
    """Under which clearance it may be used, and for what: authority, number, class; or that there is none."""
    training_data: str = ""
    """What it learnt from: how many, whose, of which scanners; or that it learnt nothing."""
    known_limits: str = ""
    """For what, or whom, it is known not to work."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting that a rule may give: its type is that of its default."""

    name: str
    default: ParameterValue
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def accept(self, value: object) -> ParameterValue:
        """`value` as this parameter takes it; raises `ParameterError`."""
        wanted = type(self.default)
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not wanted:
            raise ParameterError(f"parameter {self.name!r}: expected {TYPE_NAMES[wanted]}, got {value!r}")
        assert isinstance(value, bool | int | float | str)
        if isinstance(value, str) and self.choices and value not in self.choices:
            raise ParameterError(
                f"parameter {self.name!r}: {value!r} is none of {', '.join(self.choices)}"
                f"{did_you_mean(value, self.choices)}"
            )
        if not isinstance(value, str):
            self._check_bounds(value)
        return value

    def _check_bounds(self, value: float) -> None:
        if value != value or (self.minimum is not None and value < self.minimum):
            raise ParameterError(f"parameter {self.name!r}: {value} is below {self.minimum}")
        if self.maximum is not None and value > self.maximum:
            raise ParameterError(f"parameter {self.name!r}: {value} is above {self.maximum}")


@dataclass(frozen=True, slots=True)
class ReturnedDicom:
    """What becomes of the DICOM objects that a plugin returns."""

    mark: bool = True
    """Sent as objects of this node: with new UIDs, the patient and study of the images, its equipment and the marking.
    False: as they are, but for what was under pseudonyms.
    """
    scores: tuple[VendorScore, ...] = ()
    """Where objects without codes have their scores."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A plugin as its plugin.toml describes it."""

    folder: Path
    identity: AlgorithmIdentity
    runtime: Runtime
    outputs: tuple[Output, ...]
    concepts: tuple[Concept, ...]
    """Every code that its findings, scores and measurements may have."""
    parameters: tuple[Parameter, ...] = ()
    weights: tuple[str, ...] = ()
    """Patterns of the files that hold what was learnt, below the plugin's folder."""
    returned: ReturnedDicom = ReturnedDicom()
    nifti: NiftiFolders | None = None
    """What its files mean, where they are NIfTI."""
    onnx: OnnxModel | None = None
    """What its model is given and says, of kind onnx."""
    about: ManifestStatements = ManifestStatements()
    envelope: Envelope = ()
    """On which images it was validated."""

    @property
    def stated(self) -> dict[str, str]:
        """What its maker states for the inventory of a site."""
        return {**asdict(self.about), "validated_on": envelopes.in_words(self.envelope)}

    def with_providers(self, names: tuple[str, ...]) -> Manifest:
        """As a site has its model computed, see `Runtime.with_providers`; ManifestError."""
        try:
            return replace(self, runtime=self.runtime.with_providers(names))
        except ValueError as error:
            raise ManifestError(f"{self.folder / MANIFEST}: providers: {error}") from error

    def weight_files(self) -> list[Path]:
        """The files that `weights` match now, in the order of their names."""
        return sorted({path for pattern in self.weights for path in weights.matching(self.folder, pattern)})

    def parameters_for(self, given: Mapping[str, object]) -> dict[str, ParameterValue]:
        """All parameters: the given ones, checked, and the defaults of the rest; raises `ParameterError`."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise ParameterError(
                    f"parameter {name!r}: {self.identity.name} has no such parameter{did_you_mean(name, known)}"
                )
        return {
            name: parameter.accept(given[name]) if name in given else parameter.default
            for name, parameter in known.items()
        }

    def identity_with(self, parameters: Mapping[str, ParameterValue]) -> AlgorithmIdentity:
        """The algorithm's identity with the parameters of one job, as text, in the manifest's order."""
        shown = tuple((name, _shown(value)) for name, value in parameters.items())
        return replace(self.identity, parameters=shown)

    def undeclared(self, result: Result) -> list[str]:
        """What the result holds that the manifest does not announce, in words; empty means that all is announced."""
        problems = [
            f"it returned {output.value}, which {MANIFEST} does not list in outputs"
            for output in Output
            if getattr(result, output.field) and output not in self.outputs
        ]
        problems += concepts.code_problems(result, self.concepts, MANIFEST)
        return list(dict.fromkeys(problems))


def _shown(value: ParameterValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- reading -------------------------------------------------------------------------------------


def load(folder: Path) -> Manifest:
    """Read `plugin.toml` of a plugin's folder; raises `ManifestError`."""
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # TOMLDecodeError (names line and column) and UnicodeDecodeError
        raise ManifestError(f"{path}: {error}") from error
    table = ManifestTable(document, "", path, text)
    if table.take("schema", int) != SCHEMA:
        raise table.error("schema", f"expected {SCHEMA}, the version that this program understands")
    identity = table.table("identity")
    runtime = runtimes.read(table.table("runtime"))
    outputs = tuple(table.member("outputs", Output, name) for name in table.texts("outputs"))
    _check_tables(table, runtime.exchange)
    nifti = _nifti(table, outputs, runtime.exchange) if runtime.exchange.is_mapped else None
    onnx = _onnx(table, runtime, outputs, folder)
    manifest = Manifest(
        folder=folder.resolve(),
        about=_statements(identity),
        weights=_weights(identity, folder, onnx),
        identity=_identity(identity),
        runtime=runtime,
        outputs=outputs,
        concepts=_concepts(table, nifti or onnx, outputs),
        nifti=nifti,
        onnx=onnx,
        parameters=tuple(_parameter(name, entry) for name, entry in table.named_tables("parameters")),
        returned=_returned(table.table("returned", {}), runtime.kind),
        envelope=envelopes.read(table.table("envelope")) if "envelope" in table.values else (),
    )
    if manifest.runtime.kind is RuntimeKind.DICOM and Output.DICOM not in manifest.outputs:
        raise table.error("outputs", f'kind dicom returns DICOM objects: "{Output.DICOM}" has to be among them')
    table.finish()
    if nifti and (placeholder := nifti_mapping.unknown_placeholder(runtime.command, nifti, _names(manifest))):
        known = "no [[nifti.inputs]] has this role" if placeholder.startswith("{role") else "there is no such parameter"
        raise table.error("runtime", f"command: {placeholder}: {known}")
    return manifest


def _check_tables(table: ManifestTable, form: ExchangeForm) -> None:
    """Complain about tables that mean nothing in this form of exchange."""
    if not form.is_mapped and "nifti" in table.values:
        forms = " or ".join(f'"{each}"' for each in ExchangeForm if each.is_mapped)
        raise table.error("nifti", f"is for exchange = {forms} in [runtime]")
    parameters = table.values.get("parameters", ())
    if parameters and not form.reads_parameters:
        raise table.error("parameters", f'a package with exchange = "{form}" reads none')
    if form is ExchangeForm.GRAND_CHALLENGE and (name := sockets.odd_parameter(parameters)):
        raise table.error("parameters", f"{name!r} is not the slug of a socket")


def _returned(table: ManifestTable, kind: RuntimeKind) -> ReturnedDicom:
    """What a box sends is left as it is, unless its manifest says otherwise."""
    scores = [vendor_scores.read(each) for each in table.tables("scores")] if "scores" in table.values else []
    found = ReturnedDicom(table.take("mark", bool, kind is not RuntimeKind.DICOM), tuple(scores))
    table.finish()
    return found


def _names(manifest: Manifest) -> set[str]:
    return {parameter.name for parameter in manifest.parameters}


def _statements(table: ManifestTable) -> ManifestStatements:
    said = {each.name: " ".join(table.take(each.name, str, "").split()) for each in fields(ManifestStatements)}
    for name, text in said.items():
        if len(text) > _STATEMENT_LIMIT:
            raise table.error(name, f"has {len(text)} characters; at most {_STATEMENT_LIMIT}")
    return ManifestStatements(**said)


def _identity(table: ManifestTable) -> AlgorithmIdentity:
    arguments = {
        "name": table.take("name", str),
        "version": table.take("version", str),
        "manufacturer": table.take("manufacturer", str),
        "model_name": table.take("model_name", str, ""),
        "udi": table.take("udi", str, ""),
        "intended_use": table.take("intended_use", str),
    }
    if "family" in table.values:
        arguments["family"] = _code(table.table("family"))
    table.finish()
    try:
        return AlgorithmIdentity(**arguments)
    except ContractError as error:
        raise table.error("name", str(error)) from error


def _nifti(manifest: ManifestTable, outputs: tuple[Output, ...], form: ExchangeForm) -> NiftiFolders:
    table = manifest.table("nifti")
    mapping = nifti_mapping.read(table)
    if form is ExchangeForm.GRAND_CHALLENGE and (problem := sockets.problem(mapping)):
        raise table.error(*problem)
    needed = [Output.FINDINGS, *([Output.HEATMAPS] if mapping.heatmaps else [])]
    for output in needed:
        if output not in outputs:
            raise manifest.error("outputs", f"lacks {output.value}, which [nifti] makes")
    return mapping


def _onnx(table: ManifestTable, runtime: Runtime, outputs: tuple[Output, ...], folder: Path) -> OnnxModel | None:
    if runtime.kind is not RuntimeKind.ONNX:
        if "onnx" in table.values:
            raise table.error("onnx", f'is for kind = "{RuntimeKind.ONNX}" in [runtime]')
        return None
    model = model_reading.read(table.table("onnx"), folder)
    if model.needs_gpu and not runtime.resources.needs_gpu:
        raise table.error("onnx", "providers: one needs a GPU: say gpu or gpu_memory_mb in [runtime.resources]")
    has_maps = any(isinstance(each, HeatmapOutput) for each in model.outputs)
    for output in [Output.FINDINGS, *([Output.HEATMAPS] if has_maps else [])]:
        if output not in outputs:
            raise table.error("outputs", f"lacks {output.value}, which [onnx] makes")
    return model


def _weights(identity: ManifestTable, folder: Path, onnx: OnnxModel | None) -> tuple[str, ...]:
    """The patterns that it lists; a model file is what was learnt, named or not."""
    listed = weights.read(identity, folder)
    return tuple(dict.fromkeys((onnx.file, *listed))) if onnx else listed


def _concepts(
    manifest: ManifestTable, mapping: NiftiFolders | OnnxModel | None, outputs: tuple[Output, ...]
) -> tuple[Concept, ...]:
    """Those that it lists, and those that its mapping names. With a mapping, or DICOM alone, it needs no list."""
    says_nothing_else = set(outputs) == {Output.DICOM}
    is_listed = "concepts" in manifest.values or (mapping is None and not says_nothing_else)
    found: dict[tuple[str, str], Concept] = {}
    for table in manifest.tables("concepts") if is_listed else []:
        bounds = {"unit": table.take("unit", str, ""), **{key: table.take(key, float, None) for key in _BOUNDS}}
        concept = Concept(_code(table), **bounds)
        key, problem = concept.mistake
        if problem:
            raise table.error(key, problem)
        if found.setdefault((concept.code.value, concept.code.scheme), concept) is not concept:
            raise table.error("value", f"({concept.code.value}, {concept.code.scheme}) is listed twice")
    for concept in mapping.concepts() if mapping else ():
        known = found.setdefault((concept.code.value, concept.code.scheme), concept)
        if problem := _difference(known, concept):
            raise manifest.error("onnx" if isinstance(mapping, OnnxModel) else "nifti", problem)
    return tuple(found.values())


def _difference(known: Concept, other: Concept) -> str:
    """Why two statements of one code cannot both hold; empty where they can."""
    shown = f"({known.code.value}, {known.code.scheme})"
    if known.code.meaning != other.code.meaning:
        return f"{shown} is {known.code.meaning!r} in one place and {other.code.meaning!r} in another"
    if known.unit and other.unit and known.unit != other.unit:
        return f"{shown} has the unit {known.unit!r} in one place and {other.unit!r} in another"
    return ""


_BOUNDS = ("minimum", "maximum")


def _code(table: ManifestTable) -> Code:
    arguments = [table.take(key, str) for key in ("value", "scheme", "meaning")]
    table.finish()
    try:
        return Code(*arguments)
    except ContractError as error:
        raise table.error("value", str(error)) from error


def _parameter(name: str, table: ManifestTable) -> Parameter:
    default = table.values.get("default")
    if type(default) not in TYPE_NAMES:
        raise table.error("default", "is missing" if default is None else f"{default!r} is not number, text or boolean")
    parameter = Parameter(
        name=name,
        default=table.take("default", type(default)),
        description=table.take("description", str),
        minimum=table.take("minimum", float, None),
        maximum=table.take("maximum", float, None),
        choices=table.texts("choices", ()),
    )
    table.finish()
    if isinstance(parameter.default, bool | str) and (parameter.minimum, parameter.maximum) != (None, None):
        raise table.error("default", "only a number has a minimum or a maximum")
    try:
        parameter.accept(parameter.default)
    except ParameterError as error:
        raise table.error("default", str(error)) from error
    return parameter
