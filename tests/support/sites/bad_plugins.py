"""Plugins that do something wrong, a line or two each, and what the node has to say of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

CODE = {"value": "1", "scheme": "99TEST", "meaning": "Thing"}
SIZE = {"value": "3", "scheme": "99TEST", "meaning": "Size"}
MILLIMETRE = {"code": "mm", "meaning": "millimeter"}

MANIFEST = """
schema = 1
outputs = ["findings", "segmentation"]
[identity]
name = "bad"
version = "1"
manufacturer = "tests"
intended_use = "Does something wrong."
[runtime]
identity = "full"
deadline_seconds = {deadline}
memory_mb = 400
{runtime}
[[concepts]]
value = "1"
scheme = "99TEST"
meaning = "Thing"
[[concepts]]
value = "3"
scheme = "99TEST"
meaning = "Size"
unit = "mm"
minimum = 1
maximum = 100
[parameters.level]
default = 5
description = "A number."
"""

CLASS = """
import json, os, sys
import numpy as np
from plugins.contract import *
CODE = Code("1", "99TEST", "Thing")
SIZE = Code("3", "99TEST", "Size")
OTHER = Code("2", "99TEST", "Other")
MM = Unit("mm", "millimeter")
def found(*measurements, **more):
    return Result("findings", "s", (Finding(CODE, True, measurements=measurements, **more),))
def masked(labels, frames, segments=(1,), of=(1,)):
    return Result("findings", "s", (Finding(CODE, True, segments=of),), Segmentation(
        labels, frames, tuple(Segment(number, "x", CODE, CODE) for number in segments)))
class Plugin:
    def analyse(self, study, parameters):
        REF = ImageReference(str(study.series[0].headers()[0].SOPInstanceUID))
        {body}
"""

CONTRACT = "it breaks the contract"
REFUSED = "out/result.json"


@dataclass(frozen=True, slots=True)
class BadPlugin:
    """What it does, and how an attempt ends."""

    name: str
    says: str
    """Part of the job's error."""
    body: str = ""
    """Of `analyse`, of a Python plugin."""
    code: str = ""
    """All of its module, instead of a body."""
    document: str = ""
    """The text of result.json that a program writes."""
    script: str = ""
    """A shell script, which is run for real."""
    deadline: int = 60
    own_process: bool = False
    """A Python plugin that is run for real, too."""


def _of_class(name: str, body: str, says: str) -> BadPlugin:
    return BadPlugin(name, says, body=body)


def _document(name: str, says: str, **changes: Any) -> BadPlugin:
    whole = {"schema": 1, "status": "findings", "summary": "s", "findings": [{"code": CODE, "present": True}]}
    merged = {key: value for key, value in (whole | changes).items() if value is not None}
    return BadPlugin(name, says, document=json.dumps(merged))


def _finding(name: str, says: str, **fields: Any) -> BadPlugin:
    return _document(name, says, findings=[{"code": CODE, "present": True} | fields])


def _number(name: str, says: str, **fields: Any) -> BadPlugin:
    return _finding(name, says, measurements=[{"concept": SIZE, "value": 4, "unit": MILLIMETRE} | fields])


OF_CLASSES = (
    _of_class("raises", "raise ValueError('Hong^Gildong')", "ValueError, bad"),
    _of_class("exits", "sys.exit(3)", "SystemExit, bad"),
    _of_class("returns nothing", "return None", "analyse() returned NoneType, not plugins.contract.Result (bad"),
    _of_class("returns a dictionary", "return {'status': 'findings'}", "line 17, in analyse)"),
    _of_class("imports what is not there", "import no_such_module", "no module named 'no_such_module', bad"),
    BadPlugin("ends its process", "the process ended without writing a result", body="os._exit(0)", own_process=True),
    _of_class("unknown attribute", "return study.patients", "AttributeError, bad"),
    _of_class("no such parameter", "return parameters['threshold']", "KeyError, bad"),
    _of_class("recursion", "return self.analyse(study, parameters)", "RecursionError, bad"),
    _of_class("no findings under findings", "return Result('findings', 's')", "none is present or measured"),
    _of_class("findings under no_findings", "return Result('no_findings', 's', (Finding(CODE, True),))", CONTRACT),
    _of_class("unknown status", "return Result('perhaps', 's')", "'perhaps' (str) is none of"),
    _of_class("empty summary", "return Result('failed', ' ')", "must say something"),
    _of_class("endless summary", "return Result('failed', 'x' * 2000)", "2000 characters, expected at most 1024"),
    _of_class(
        "undeclared code", "return Result('findings', 's', (Finding(OTHER, True),))", "does not list in concepts"
    ),
    _of_class(
        "other meaning",
        "return Result('findings', 's', (Finding(Code('1', '99TEST', 'Cancer'), True),))",
        "declares as 'Thing'",
    ),
    _of_class(
        "undeclared output",
        "return Result('failed', 's', pictures=(Picture(np.zeros((2, 2, 3), np.uint8), 'x'),))",
        "it returned pictures",
    ),
    _of_class("not a number", "return found(Measurement(SIZE, float('nan'), MM))", "is not a finite number"),
    _of_class("negative size", "return found(Measurement(SIZE, -1, MM))", "below the minimum of 1"),
    _of_class("giant size", "return found(Measurement(SIZE, 101, MM))", "above the maximum of 100"),
    _of_class("other unit", "return found(Measurement(SIZE, 4, Unit('cm', 'cm')))", "has the unit 'cm', expected 'mm'"),
    _of_class("no unit at all", "return found(Measurement(SIZE, 4, Unit('millimetres', 'x')))", "is not a UCUM unit"),
    _of_class("no value, no reason", "return found(Measurement(SIZE, None, MM))", "the reason in no_value"),
    _of_class("likelihood of 97", "return found(score=Score(97))", "is not within 0 to 1"),
    _of_class("image of another", "return found(regions=(Point([1, 1], ImageReference('9.9')),))", "was given"),
    _of_class(
        "frame beyond", "return found(regions=(Point([1, 1], ImageReference(REF.sop_instance_uid, 2)),))", "frames"
    ),
    _of_class("point beyond", "return found(regions=(Point([65, 1], REF),))", "lies outside of its image"),
    _of_class("negative point", "return found(regions=(Point([-1, 1], REF),))", "cannot be negative"),
    _of_class("box in shares", "return found(regions=(Box([[.1, .1], [.9, .9]], REF),))", "not shares of the image"),
    _of_class(
        "place of another", "return found(regions=(Point([1, 1, 1], frame_of_reference_uid='9'),))", "frame of ref"
    ),
    _of_class("mask too small", "return masked(np.ones((1, 9, 9), np.uint8), (REF,))", "has 9 × 9 pixels a slice"),
    _of_class("mask of floats", "return masked(np.full((1, 64, 64), 0.5), (REF,))", "expected unsigned integers"),
    _of_class("mask without segment", "return masked(np.full((1, 64, 64), 2, np.uint8), (REF,))", CONTRACT),
    _of_class("segment without voxel", "return masked(np.zeros((1, 64, 64), np.uint8), (REF,))", "has a voxel"),
    _of_class(
        "unknown segment", "return masked(np.ones((1, 64, 64), np.uint8), (REF,), of=(7,))", "not in the segment"
    ),
    _of_class("one frame twice", "return masked(np.ones((2, 64, 64), np.uint8), (REF, REF))", "names a frame twice"),
    _of_class(
        "urgent and absent",
        "return Result('no_findings', 's', (Finding(CODE, False, urgent=True),))",
        "urgent, but absent",
    ),
    _of_class("one name twice", "return Result('findings', 's', (Finding(CODE, True, tracking_id='a'),) * 2)", "twice"),
    _of_class("1,001 findings", "return Result('findings', 's', (Finding(CODE, True),) * 1001)", "1000"),
    BadPlugin(
        "no such module",
        "ModuleNotFoundError: no module named 'no_such_module', bad",
        code="import no_such_module\nclass Plugin: pass\n",
    ),
    BadPlugin("syntax error", "SyntaxError, bad", code="class Plugin\n"),
    BadPlugin("no such class", "has no class 'Plugin'", code="x = 1\n"),
    BadPlugin("no analyse", "has no method analyse", code="class Plugin:\n    pass\n"),
    BadPlugin(
        "raises when made",
        "RuntimeError, bad",
        code="class Plugin:\n    def __init__(self):\n        raise RuntimeError('no weights')\n"
        "    def analyse(self, study, parameters): ...\n",
    ),
)
OF_PROGRAMS = (
    BadPlugin("not JSON", "is not valid JSON", document="{"),
    BadPlugin("a list", "expected an object", document="[]"),
    BadPlugin("NaN in JSON", "is not a number in JSON", document='{"schema": 1, "x": NaN}'),
    BadPlugin("a key twice", "occurs twice", document='{"schema": 1, "schema": 1}'),
    _document("newer schema", "$.schema: expected 1", schema=2),
    _document("no status", "status", status=None),
    _document("misspelt key", "findngs", findngs=[]),
    _document("status of its own", "$.status", status="fine"),
    _finding("no code", "code", code=None),
    _finding("text as number", "value", measurements=[{"concept": SIZE, "value": "4", "unit": MILLIMETRE}]),
    _number("number of a string unit", "unit", unit="mm"),
    _number("number beyond", "above the maximum", value=1e9),
    _finding("region as four numbers", "regions", regions=[[1, 1, 2, 2]]),
    _document(
        "array outside", "labels", segmentation={"labels": {"array": "../in/x.npy"}, "frames": [], "segments": []}
    ),
)
OF_PROCESSES = (
    BadPlugin(
        "no result",
        "the process ended without writing a result (out/result.json is missing): exit status 0",
        script="exit 0",
    ),
    BadPlugin("exit 7", "exit status 7", script="exit 7"),
    BadPlugin("killed", "ended by signal SIG", script="kill -SEGV $$"),
    BadPlugin("hangs", "deadline", script="sleep 60", deadline=1),
    BadPlugin("a link as result", "cannot be read", script='ln -s /etc/passwd "$1/out/result.json"'),
    BadPlugin(
        "a pipe in out",
        "is a pipe",
        script="""echo '{"schema": 1, "status": "failed", "summary": "x"}' > $1/out/result.json; mkfifo $1/out/p""",
    ),
)
OF_STRANGERS = (
    BadPlugin(
        "a coroutine",
        "analyse() returned coroutine",
        code=CLASS.replace("    def analyse", "    async def analyse").replace("{body}", "return found()"),
    ),
    _of_class("a generator", "yield found()", "analyse() returned generator"),
    _of_class("a result and a number", "return found(), 0.5", "analyse() returned tuple"),
    _of_class("the class of results", "return Result", "analyse() returned type"),
    _of_class("findings as a text", "return Result('findings', 's', findings='abc')", "'abc' (str) is not a list"),
    _of_class("interrupts", "raise KeyboardInterrupt", "the plugin failed: KeyboardInterrupt, bad"),
    BadPlugin(
        "an exception that nobody catches",
        "the plugin failed: Stop, bad",
        code=f"class Stop(BaseException): ...\n{CLASS.replace('{body}', 'raise Stop')}",
    ),
    BadPlugin(
        "wants a model",
        "Plugin is made without arguments, but its __init__ wants some",
        code=CLASS.replace("class Plugin:", "class Plugin:\n    def __init__(self, model): ...").replace(
            "{body}", "pass"
        ),
    ),
    BadPlugin(
        "takes no parameters",
        "Plugin.analyse gets study and parameters, but takes (study)",
        code="class Plugin:\n    def analyse(self, study): ...\n",
    ),
    BadPlugin(
        "an instance",
        "Plugin is not a class but an instance of P",
        code="class P:\n    def analyse(self, study, parameters): ...\nPlugin = P()\n",
    ),
    BadPlugin("a function", "Plugin is not a class but a function", code="def Plugin(study, parameters): ...\n"),
    BadPlugin("tabs and spaces", "TabError, bad", code="class Plugin:\n    def a(self):\n\treturn 1\n"),
    BadPlugin(
        "removes its folder",
        "it removed or replaced its folder out/",
        body="import shutil, time; shutil.rmtree(study.scratch.parent / 'out'); time.sleep(60)",
        own_process=True,
    ),
    BadPlugin(
        "an alarm", "ended by signal SIGALRM", body="import signal; signal.alarm(1); signal.pause()", own_process=True
    ),
    BadPlugin(
        "calls what is not there", "exit status 127 (something that it calls was not found)", script="nnunet_predict"
    ),
    BadPlugin("a folder as result", "it is not a regular file", script='mkdir "$1/out/result.json"'),
    BadPlugin("an empty result", "is not valid JSON", script=': > "$1/out/result.json"'),
)
TABLE = (*OF_CLASSES, *OF_PROGRAMS, *OF_PROCESSES, *OF_STRANGERS)
