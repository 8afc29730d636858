"""docs/reference/manifest.md and its JSON schema, from the dataclasses of `runtime.manifest`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import types
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docs.generate.markdown import NOTICE, line, prose, table
from runtime.damage import CLASS_NAMES
from runtime.manifest import FORMAT, Manifest

_SHA256 = {"pattern": "^[0-9a-f]{64}$"}
_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object"}

VALUES: dict[str, dict[str, Any]] = {
    "format": {"const": FORMAT},
    "model.gsd_m": {"minItems": 2, "maxItems": 2},
    "model.scale": {"minItems": 2, "maxItems": 2},
    "model.reach_px": {"exclusiveMinimum": 0},
    "input.height": {"minimum": 1},
    "input.width": {"minimum": 1},
    "input.batch.min": {"minimum": 1},
    "input.threshold": {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "class_names": {"const": list(CLASS_NAMES)},
    "target.compute_capability": {"pattern": r"^\d+\.\d+$"},
    "payload": {"minItems": 1},
    "payload[].size": {"minimum": 0},
    "payload[].sha256": _SHA256,
    "gate.model.gsd_m": {"minItems": 2, "maxItems": 2},
    "gate.model.scale": {"minItems": 2, "maxItems": 2},
    "gate.model.reach_px": {"exclusiveMinimum": 0},
    "gate.reduction": {"minimum": 1},
    "gate.threshold": {"minimum": 1, "maximum": 255},
    "gate.margin_px": {"minimum": 0},
    "gate.payload": {"minItems": 1},
    "gate.payload[].size": {"minimum": 0},
    "gate.payload[].sha256": _SHA256,
}
"""What `Manifest.check_values` asks beyond the type, as far as JSON Schema can say it."""

TITLE = """# manifest.json

Every engine folder holds a `manifest.json` beside its payload. It is read and checked before
anything else of the folder is: a wrong key, another format, or a payload file of another size or
sha256 is an error that names it, and nothing is handed to an inference library. In Python it is
`engine.manifest`, or `runtime.manifest.Manifest.read(folder)`.

Unknown keys are refused. The types are also in [manifest.schema.json](manifest.schema.json) (JSON
Schema 2020-12), for other tools; it cannot say that `batch` is in order, that payload names differ
and are plain file names, and that the files are what they were.
"""

VERIFICATION = """## verification

What `build_engine` measured before the folder appeared. It is free of form for the runtime.

| key | type | meaning |
|---|---|---|
| `status` | string | `ran`: the engine itself was executed and compared; \
`compiled, not run`, or of \
`onnxruntime-cuda` `built, not run`: an engine for a GPU, of which the ONNX graph was |
| `parity` | object | against PyTorch FP32: `what` was compared, on which `pairs`, \
`label_agreement` (share of the `pixels`), `building_agreement` (the same of building pixels; null \
where there are none), `class_f1` of each class that occurs, `content` (pixels of each class that \
PyTorch predicts), `probability_difference` (mean on building pixels, 0 to 1), \
`max_building_difference` and `max_confidence_difference` (0 to 255), and `floor`: the limits \
`agreement`, `class_f1`, `probability` and `pixels` that it had to hold |
| `precision` | object | of the compiled layers: number of `convolutions`, `flops_by_precision`, \
and the `mixed` ones that `--allow-mixed` or the gate permitted |
| `ranges` | object or null | INT8: `method`, whose ranges were taken, and \
`tried`: of each method that was built, its `score`, `losses` and the limits `broken`; \
null for other precisions |
| `high_precision` | array of string | units of the network that INT8 left in floating point |
| `gate` | object or null | accuracy against FP32 on labelled scenes: \
`scenes`, the figures of `reference` (FP32) and `candidate` (this engine), and the classes that \
are `not_measured`, as FP32's own F1 is 0; \
null: not measured, for FP32 or without labels |
| `known_answer` | object | what the engine (or its ONNX graph, see `status`) says of the \
example's pair, for `dual-hrnet doctor`: `pair` (sha256 of its pixels), `damage` (labels of a grid \
of at most 64x64 pixels, zlib in base64) and `counts` (pixels of each class) |
| `reproducible` | boolean or null | whether another build of the same checkpoint and ranges, by \
the same versions on the same kind of machine, gives the same bytes of payload; null: not measured |
| `chosen` | string | of `--best` only: the candidate that won, and its time |
| `rejected` | array of string | of `--best` only: why each of the others lost |

## gate.misses

What the gate misses on the labelled tiles of `split` that its threshold was not chosen on.

| key | type | meaning |
|---|---|---|
| `budget` | number | share of the buildings that it may miss |
| `measured_on` | string | the engine, or its ONNX graph |
| `buildings`, `buildings_missed` | integer | missed is one of which more than half lies in \
windows that are skipped |
| `missed_at_most` | number | share of the buildings that is not exceeded with 95 % confidence \
(Clopper and Pearson) |
| `hamlet_buildings`, `hamlet_buildings_missed`, `hamlet_missed_at_most` | integer, integer, \
number | the same of buildings in windows that show at most 8 |
| `buildings_not_cut`, `not_found_alone` | integer | buildings that no edge of a tile cuts; those \
of them on which it stays below the threshold: they depend on others beside them |
| `building_pixels`, `building_pixels_missed` | integer | pixels of the labels |
| `windows`, `windows_without_building`, `of_those_skipped` | integer | windows of the engine's \
size |
"""


def page() -> str:
    lines = [NOTICE, "", TITLE]
    lines += _section("The whole", Manifest)
    lines += [VERIFICATION]
    return "\n".join(lines).rstrip() + "\n"


def schema_text() -> str:
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Manifest of a Dual-HRNet engine folder",
    }
    return json.dumps({**head, **schema(Manifest)}, indent=2) + "\n"


def schema(kind: Any, where: str = "", text: str = "") -> dict[str, Any]:
    """Of a type, as `runtime.records.parse` takes it; `where` is the key's path."""
    about = {"description": " ".join(text.split())} if text else {}
    if dataclasses.is_dataclass(kind):
        return {**about, **_object(kind, where)}
    if isinstance(kind, types.UnionType):
        (other,) = (each for each in get_args(kind) if each is not types.NoneType)
        plain = schema(other, where, text)
        return {**plain, "type": [plain["type"], "null"]}
    if get_origin(kind) is Literal:
        return {**about, "enum": list(get_args(kind))}
    if get_origin(kind) is tuple:
        items = schema(get_args(kind)[0], f"{where}[]")
        return {**about, "type": "array", "items": items, **VALUES.get(where, {})}
    return {**about, "type": _NAMES[get_origin(kind) or kind], **VALUES.get(where, {})}


def _object(kind: Any, where: str) -> dict[str, Any]:
    hints, texts, prefix = get_type_hints(kind), field_texts(kind), f"{where}." if where else ""
    fields = dataclasses.fields(kind)
    return {
        "type": "object",
        "properties": {
            each.name: schema(hints[each.name], prefix + each.name, texts[each.name])
            for each in fields
        },
        "required": [each.name for each in fields if each.default is dataclasses.MISSING],
        "additionalProperties": False,
    }


def field_texts(kind: Any) -> dict[str, str]:
    """Field name to the string that stands below it in the source.

    Raises KeyError, from its users, for a field without one.
    """
    (definition,) = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, text in itertools.pairwise(definition.body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            texts[field.target.id] = str(text.value.value)
    return texts


def _section(title: str, kind: Any) -> list[str]:
    hints, texts = get_type_hints(kind), field_texts(kind)
    rows, inner = [], []
    for each in dataclasses.fields(kind):
        hint = hints[each.name]
        part = get_args(hint)[0] if get_args(hint) else hint  # of a tuple, or of "or null"
        if dataclasses.is_dataclass(part):
            inner += _section(each.name if title == "The whole" else f"{title}.{each.name}", part)
        rows.append((f"`{each.name}`", _type(hint), line(texts[each.name])))
    shown = table(("key", "type", "meaning"), rows)
    return [f"## {title}", "", prose(kind.__doc__), "", *shown, "", *inner]


def _type(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return " or ".join("null" if each is types.NoneType else _type(each)
                           for each in get_args(hint))  # fmt: skip
    if get_origin(hint) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(hint))
    if get_origin(hint) is tuple:
        return f"array of {_type(get_args(hint)[0])}"
    if dataclasses.is_dataclass(hint):
        return "object"
    return _NAMES[get_origin(hint) or hint]
