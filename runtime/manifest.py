"""The engine folder's manifest: what the payload is, and proof that it is that.

A builder fills a temporary folder with the payload, calls `Manifest.write`, and
renames the folder (`files.replacing_folder`). The runtime calls `Manifest.read` once,
and gives a library what `read_payload` and `read_payload_into` have compared with it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from runtime import files, records
from runtime.damage import CLASS_NAMES
from runtime.errors import ManifestError
from runtime.manifest_fields import BackendName as BackendName
from runtime.manifest_fields import Batch as Batch
from runtime.manifest_fields import Graph as Graph
from runtime.manifest_fields import Input as Input
from runtime.manifest_fields import Model as Model
from runtime.manifest_fields import Precision as Precision
from runtime.manifest_fields import Target as Target
from runtime.manifest_fields import WindowGate as WindowGate
from runtime.payload import PayloadFile as PayloadFile
from runtime.payload import payload_of as payload_of
from runtime.trust import OwnBuild, setting

if TYPE_CHECKING:
    from runtime.trust.signed import Signed

FORMAT = 1
FILE_NAME = "manifest.json"
GATE = "gate"
"""The folder of a window gate's payload, in the engine folder."""

MOST_BYTES = 1 << 24
"""They are a few thousand."""

STRIDE = 32
"""Height and width of every engine are multiples of this."""

DEFAULT_THRESHOLD = 0.5

RAN = "ran"
COMPILED_NOT_RUN = "compiled, not run"
BUILT_NOT_RUN = "built, not run"
"""`verification["status"]`: was the engine itself executed and compared, or only compiled by a
compiler for GPUs, or only written for a library that compiles nothing?"""


@dataclass(frozen=True)
class Manifest:
    """Everything known about an engine."""

    format: int
    """Version of this file's format, 1. A runtime refuses every other."""
    model: Model
    """The network that the engine computes."""
    graph: Graph
    """The ONNX graph that the payload was made from."""
    input: Input
    """What the engine takes."""
    class_names: tuple[str, ...]
    """Of the values of `damage`, from 0: the damage scale, and no other."""
    precision: Precision
    """Of the convolutions; the units that INT8 left in floating point are in `verification`."""
    target: Target
    """Where the payload runs."""
    calibration: str | None
    """Fingerprint of the calibration (64 hexadecimal digits); null: not an INT8 engine."""
    verification: dict[str, Any]
    """What was measured before the engine was written; the runtime does nothing with it."""
    payload: tuple[PayloadFile, ...]
    """Every file that the engine consists of, besides this one."""
    created: str
    """When the engine was built, ISO 8601 in UTC."""
    gate: WindowGate | None = None
    """Which windows of a scene are computed; null, or the key is missing: all."""

    @classmethod
    def read(cls, folder: Path | str, trust: Path | OwnBuild | None = None) -> Manifest:
        """The manifest of an engine folder; the payload is not read.

        Where signatures are demanded (`trust.setting`) the folder's is checked first, then this
        file and every other but the payload, whose digests here must be those that were signed.

        trust: a further folder of keys; OWN_BUILD for what this process has written itself.

        Raises:
            SignatureError: the folder is not signed, or not by a key that is demanded.
            ConfigError: what is demanded cannot be made out.
            ManifestError: it is missing, no JSON, of another format version, or has a key that
                is wrong; the message names it.
        """
        folder = Path(folder)
        path = folder / FILE_NAME
        if not folder.is_dir():
            found = "is not a folder" if folder.exists() else "does not exist"
            raise ManifestError(
                f"{folder}: {found}; expected an engine folder as written by "
                "python -m export.build_engine"
            )
        if not path.is_file():
            raise ManifestError(
                f"{path}: missing, so this is no engine folder; build one with {_rebuild(folder)}"
            )
        demanded = [] if isinstance(trust, OwnBuild) else setting.folders(trust)
        vouched = _vouched(folder, demanded) if demanded else None
        try:
            text = _read_bytes(path)
            if vouched:
                vouched.check(FILE_NAME, hashlib.sha256(text).hexdigest())
            content = records.decode(text)
            _check_format(content, path)
            manifest = records.parse(cls, content)
            manifest.check_values()
        except records.RecordError as error:
            raise ManifestError(f"{path}: {error}; rebuild with {_rebuild(folder)}") from error
        if vouched:
            manifest.check_signed(vouched)
        return manifest

    def check_signed(self, vouched: Signed) -> None:
        """SignatureError unless all in the folder is what was signed, the payload by its digests
        here: it is read and compared with them when it is loaded, and not twice."""
        payload = {str(PurePosixPath(where, entry.name)): entry for where, entry in self.files()}
        for name, entry in payload.items():
            vouched.check(name, entry.sha256)
        vouched.check_files(besides=payload)

    def write(self, folder: Path | str) -> None:
        """Write manifest.json, atomically; ManifestError where `read` would refuse it."""
        path = Path(folder) / FILE_NAME
        try:
            content = dataclasses.asdict(self)
            # Earlier runtimes do not know these keys.
            _drop_absent(content, "gate")
            for each in (content, content.get("gate")):
                if each:
                    _drop_absent(each["model"], "gsd_m", "scale", "reach_px")
            text = json.dumps(content, indent=2, allow_nan=False)
            records.parse(Manifest, json.loads(text)).check_values()
        except (TypeError, ValueError) as error:
            raise ManifestError(f"{path}: not written: {error}") from error
        files.write_bytes(path, (text + "\n").encode())

    def check_payload(self, folder: Path | str, besides: Collection[str] = ()) -> None:
        """Compare every payload file with its recorded size, then with its sha256.

        AlteredPayloadError at the first that differs. besides: files whose sha256 is left to
        `read_payload`, since they are to be loaded.
        """
        folder = Path(folder)
        for where, entry in self.files():
            entry.check_size(folder / where, self._again(folder))
        for where, entry in self.files():
            if where == GATE or entry.name not in besides:
                entry.check(folder / where, self._again(folder))

    def read_payload(self, folder: Path | str, name: str) -> bytes:
        """The content of a payload file, which is what the manifest vouches for.

        Raises ManifestError for a file that is not listed, AlteredPayloadError for another
        content.
        """
        folder = Path(folder)
        return self.payload_file(folder, name).read(folder, self._again(folder))

    def read_payload_into(self, buffer: Any, folder: Path | str, name: str) -> None:
        """`read_payload` into memory that a library owns, so that it is held once."""
        folder = Path(folder)
        self.payload_file(folder, name).read_into(buffer, folder, self._again(folder))

    def files(self) -> Iterator[tuple[str, PayloadFile]]:
        """Every payload file, the gate's after the engine's, with its folder in the engine folder:
        "" or `GATE`."""
        yield from (("", entry) for entry in self.payload)
        yield from ((GATE, entry) for entry in (self.gate.payload if self.gate else ()))

    def of_gate(self) -> Manifest:
        """The window gate as an engine, whose folder is `GATE`; ValueError where there is none."""
        if self.gate is None:
            raise ValueError("the engine has no window gate")
        gate = self.gate
        return dataclasses.replace(
            self, model=gate.model, graph=gate.graph, precision=gate.precision, calibration=None,
            verification={}, payload=gate.payload, gate=None,
        )  # fmt: skip

    @property
    def payload_bytes(self) -> int:
        """Of all payload files, on disk."""
        return sum(entry.size for _, entry in self.files())

    def payload_file(self, folder: Path | str, name: str) -> PayloadFile:
        """What is recorded of a payload file; ManifestError if it is not there."""
        for entry in self.payload:
            if entry.name == name:
                return entry
        raise ManifestError(
            f"{Path(folder) / FILE_NAME}: payload has no {name}, which a "
            f"{self.target.backend} engine needs; "
            f"rebuild with {self.rebuild_command(folder)}"
        )

    def payload_path(self, folder: Path | str, name: str) -> Path:
        """A payload file that the manifest lists. Its content comes from `read_payload`."""
        return Path(folder) / self.payload_file(folder, name).name

    def rebuild_command(
        self, folder: Path | str, height: int | None = None, width: int | None = None
    ) -> str:
        """The command that builds this engine again, at another size if one is given."""
        size, batch = self.input, self.input.batch
        counts = {batch.min, batch.opt, batch.max}
        options = [
            f"--{self.precision}",
            f"--target {self.target.backend}",
            f"--size {height or size.height} {width or size.width}",
        ]
        if counts != {1}:
            options.append(f"--batch {batch.min} {batch.opt} {batch.max}")
        if size.threshold != DEFAULT_THRESHOLD:
            options.append(f"--threshold {size.threshold}")
        if self.precision == "int8":
            options.append("--calibration FILE")
        if self.gate:
            options.append("--gate CKPT --data DIR")
        return f"python -m export.build_engine {' '.join(options)} --out {folder}"

    def size_advice(self, folder: Path | str, height: int, width: int) -> str:
        """What to do about an image of another size than the engine's."""
        cut = f"cut or pad the image to {self.input.height}x{self.input.width}"
        if height % STRIDE or width % STRIDE:
            return cut
        beside = f"{Path(folder)}-{height}x{width}"
        return f"build another with {self.rebuild_command(beside, height, width)}, or {cut}"

    def _again(self, folder: Path) -> str:
        return f"copy the folder again or rebuild with {self.rebuild_command(folder)}"

    def check_values(self) -> None:
        """What types cannot say; RecordError names the key."""
        size, batch = self.input, self.input.batch
        _require(self.format == FORMAT, "format", f"must be {FORMAT}")
        _require(size.height > 0 and size.width > 0, "input", "height and width must be positive")
        _require(0 < size.threshold < 1, "input.threshold", "must lie between 0 and 1")
        _require(
            1 <= batch.min <= batch.opt <= batch.max,
            "input.batch",
            "must keep 1 <= min <= opt <= max",
        )
        _check_model(self.model, "model")
        _require(
            self.class_names == CLASS_NAMES,
            "class_names",
            f"must be {list(CLASS_NAMES)}: another damage scale would be misread",
        )
        capability = self.target.compute_capability
        _require(
            capability is None or re.fullmatch(r"\d+\.\d+", capability) is not None,
            "target.compute_capability",
            'must look like "8.6", or be null',
        )
        _check_entries(self.payload, "payload")
        if self.gate:
            _check_gate(self.gate)


def _read_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise records.RecordError(f"{path.stat().st_size} bytes, expected at most {MOST_BYTES}")
    return text


def _vouched(folder: Path, trust: list[Path]) -> Signed:
    from runtime.trust.signed import signed

    return signed(folder, trust)


def _drop_absent(content: dict[str, Any], *keys: str) -> None:
    for key in keys:
        if content[key] is None:
            del content[key]


def _check_model(model: Model, key: str) -> None:
    for name, what in (("gsd_m", "lengths in metres"), ("scale", "numbers above 0")):
        given = getattr(model, name)
        _require(
            given is None or (len(given) == 2 and 0 < given[0] <= given[1] < math.inf),
            f"{key}.{name}",
            f"must be two {what}, the smaller first, or null",
        )
    reach = model.reach_px
    _require(reach is None or reach > 0, f"{key}.reach_px", "must be positive, or null")


def _check_entries(payload: tuple[PayloadFile, ...], key: str) -> None:
    _require(bool(payload), key, "must list at least one file")
    names = [entry.name for entry in payload]
    _require(len(set(names)) == len(names), key, "must not name a file twice")
    for i, entry in enumerate(payload):
        _require(
            _is_plain_name(entry.name),
            f"{key}[{i}].name",
            f"must be a plain file name inside the folder, not {entry.name!r}",
        )
        _require(entry.size >= 0, f"{key}[{i}].size", "must not be negative")
        _require(
            re.fullmatch("[0-9a-f]{64}", entry.sha256) is not None,
            f"{key}[{i}].sha256",
            "must be 64 lower-case hexadecimal digits",
        )


def _check_gate(gate: WindowGate) -> None:
    _check_model(gate.model, "gate.model")
    _require(gate.reduction >= 1, "gate.reduction", "must be 1 or more")
    _require(1 <= gate.threshold <= 255, "gate.threshold", "must lie between 1 and 255")
    _require(gate.margin_px >= 0, "gate.margin_px", "must be 0 or more")
    _check_entries(gate.payload, "gate.payload")


def _check_format(content: Any, path: Path) -> None:
    """Before the keys are looked at: another format may have other keys."""
    if not isinstance(content, dict) or type(content.get("format")) is not int:
        raise records.RecordError("key format is missing or is not a whole number")
    found = content["format"]
    if found > FORMAT:
        advice = "update this toolkit, or rebuild the engine"
    elif found < FORMAT:
        advice = "rebuild the engine"
    else:
        return
    raise ManifestError(
        f"{path}: manifest format {found}, this runtime reads format {FORMAT}; "
        f"{advice} with {_rebuild(path.parent)}"
    )


def _rebuild(folder: Path) -> str:
    """The command, where the manifest cannot say which precision and target it was."""
    return f"python -m export.build_engine --out {folder}"


def _require(condition: bool, key: str, expected: str) -> None:
    if not condition:
        raise records.RecordError(f"key {key} {expected}")


def _is_plain_name(name: str) -> bool:
    return (
        name not in ("", ".", "..", FILE_NAME)
        and not re.search(r"[/\\:\0]", name)
        and name.isprintable()
    )
