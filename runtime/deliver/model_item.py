"""The STAC Item of an engine, by the Machine Learning Model extension (MLM)."""

from __future__ import annotations

import json
from typing import Any

from runtime.damage import CLASS_COLOURS, CLASS_NAMES
from runtime.deliver.context import Context
from runtime.deliver.footprint import Footprint
from runtime.deliver.stac import VERSION, checksum, dates
from runtime.finished.engine import manifest_of
from runtime.finished.images import checked_date
from runtime.libraries import library
from runtime.manifest import Manifest

MLM = "https://stac-extensions.github.io/mlm/v1.6.0/schema.json"
_FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"

_FRAMEWORKS = {
    "onnxruntime": "ONNX", "onnxruntime-cuda": "ONNX", "openvino": "OpenVINO",
    "tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX",
}  # fmt: skip

_BANDS = ("red", "green", "blue")
_TASKS = ["semantic-segmentation"]


def model_item(context: Context, footprint: Footprint) -> dict[str, Any] | None:
    """JSON values; None where the engine's folder is not here any more.

    Its geometry is the ground of the map that it made: where it may be used nobody has measured.
    """
    manifest = manifest_of(context.map)
    if manifest is None:
        return None
    model = manifest.model
    name = f"{model.architecture}-w{model.width}-{manifest.precision}-{manifest.target.backend}"
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": [MLM, _FILE],
        "id": f"{name}-{manifest.graph.sha256[:12]}",
        "geometry": json.loads(library("shapely").to_geojson(footprint.known)),
        "bbox": list(footprint.bbox),
        "properties": {
            **dates(checked_date(manifest.created)),
            "description": (
                "Building damage between two images of one place. Takes 8-bit RGB as it is "
                "decoded: casting and normalisation are inside the graph, and so is what makes "
                "classes of its logits."
            ),
            **_properties(manifest, name),
        },
        "links": [
            {"rel": "related", "href": "./item.json", "type": "application/geo+json",
             "title": "A map that it made"},
        ],
        "assets": _assets(manifest, name),
    }  # fmt: skip


def _properties(manifest: Manifest, name: str) -> dict[str, Any]:
    target, batch = manifest.target, manifest.input.batch
    accelerator = "cuda" if target.on_gpu else "amd64" if "x86_64" in target.platform else "cpu"
    capability = f", compute capability {target.compute_capability}" if target.compute_capability \
        else ""  # fmt: skip
    return {
        "mlm:name": name,
        "mlm:architecture": manifest.model.architecture,
        "mlm:tasks": _TASKS,
        "mlm:framework": _FRAMEWORKS[target.backend],
        "mlm:framework_version": target.version,
        "mlm:total_parameters": manifest.model.parameters,
        "mlm:batch_size_suggestion": batch.opt,
        "mlm:accelerator": accelerator,
        "mlm:accelerator_constrained": True,
        "mlm:accelerator_summary": f"{target.backend} on {target.platform}{capability}, "
        f"{manifest.precision}",
        "mlm:hyperparameters": {
            "precision": manifest.precision,
            "building_threshold": manifest.input.threshold,
            "checkpoint_sha256": manifest.model.checkpoint_sha256,
            "graph_sha256": manifest.graph.sha256,
        },
        "mlm:input": [_input(manifest, when) for when in ("pre", "post")],
        "mlm:output": [_output(manifest, each) for each in ("damage", "building", "confidence")],
    }


def _input(manifest: Manifest, name: str) -> dict[str, Any]:
    size, batch = manifest.input, manifest.input.batch
    return {
        "name": name,
        "bands": list(_BANDS),
        "input": {
            "shape": [batch.opt if batch.min == batch.max else -1, size.height, size.width, 3],
            "dim_order": ["batch", "height", "width", "bands"],
            "data_type": "uint8",
        },
        "description": f"The image {'before' if name == 'pre' else 'after'} the disaster",
        "value_scaling": None,
        "resize_type": None,
        "pre_processing_function": None,
    }


_OF_OUTPUT = {
    "damage": "The most likely class where a building is",
    "building": "Probability of a building, x 255",
    "confidence": "Probability of the chosen class, x 255",
}


def _output(manifest: Manifest, name: str) -> dict[str, Any]:
    size, batch = manifest.input, manifest.input.batch
    found: dict[str, Any] = {
        "name": name,
        "bands": [],
        "tasks": _TASKS if name != "confidence" else ["regression"],
        "result": {
            "shape": [batch.opt if batch.min == batch.max else -1, size.height, size.width],
            "dim_order": ["batch", "height", "width"],
            "data_type": "uint8",
        },
        "description": _OF_OUTPUT[name],
        "post_processing_function": None,
    }
    if name == "damage":
        found["classification:classes"] = [
            {"value": value, "name": label, "description": label,
             "color_hint": bytes(CLASS_COLOURS[value]).hex().upper()}
            for value, label in enumerate(CLASS_NAMES)
        ]  # fmt: skip
    return found


def _assets(manifest: Manifest, name: str) -> dict[str, Any]:
    """Named by their content: the engine itself is not handed over."""
    return {
        entry.name: {
            "href": f"urn:sha256:{entry.sha256}",
            "type": "application/octet-stream; framework=" + _FRAMEWORKS[manifest.target.backend],
            "title": f"{entry.name} of the engine {name}, which is not part of this hand-over",
            "roles": ["mlm:model"],
            "mlm:artifact_type": _FRAMEWORKS[manifest.target.backend].lower(),
            "file:size": entry.size,
            "file:checksum": checksum(entry.sha256),
        }
        for entry in manifest.payload
    }
