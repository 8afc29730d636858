"""Bills of materials in CycloneDX 1.6 (JSON): of an install, and of what built an engine.

They hold no time and no name of a machine or folder: the same versions give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

from runtime.cli import PROJECT

ENGINE_BILL = "build.cdx.json"
"""In an engine folder: what built it. It is no payload; a signature covers it."""

_SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_NAMESPACE = uuid.UUID("6f1d8f4e-6a0c-5c7c-9c1f-7b0d3f1f0a4e")
_HASHES = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha384": "SHA-384",
           "sha512": "SHA-512"}  # fmt: skip
_LONGEST_NAME = 100
"""Letters of a licence's name; some distributions have its whole text there."""


@dataclass(frozen=True)
class Part:
    """An installed distribution."""

    name: str
    """Normalised: lower case, hyphens."""
    component: Mapping[str, Any]
    requires: frozenset[str]
    """Names, without those that only an extra of it needs."""

    @property
    def ref(self) -> str:
        return str(self.component["bom-ref"])


def of_install() -> dict[str, Any]:
    """Of every distribution that this Python can import."""
    parts = installed()
    subject = parts.pop(PROJECT, None)
    root = dict(subject.component) if subject else {"type": "application", "name": PROJECT}
    root |= {"type": "application", "bom-ref": root.get("bom-ref", PROJECT)}
    above = subject.requires if subject else frozenset[str]()
    return _bill(root, parts.values(), above & parts.keys())


def of_engine(
    name: str, payload: Iterable[tuple[str, str]], roots: Collection[str]
) -> dict[str, Any]:
    """Of an engine folder.

    Args:
        name: of the engine.
        payload: name and sha256 of each file of the engine.
        roots: distributions that took part; what they require did, too.
    """
    parts = _closure(installed(), [PROJECT, *roots])
    files = [
        {"type": "file", "name": each, "hashes": [{"alg": "SHA-256", "content": digest}]}
        for each, digest in payload
    ]
    subject = {
        "type": "machine-learning-model",
        "bom-ref": name,
        "name": name,
        "components": files,
    }
    direct = {normalised(each) for each in (PROJECT, *roots)} & parts.keys()
    return _bill(subject, parts.values(), direct)


def installed() -> dict[str, Part]:
    """By normalised name. The first that Python finds of a name is the one that it imports."""
    parts: dict[str, Part] = {}
    for each in metadata.distributions():
        name = normalised(each.metadata["Name"] or "")
        if name and name not in parts:
            parts[name] = _part(name, each)
    return parts


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _closure(parts: Mapping[str, Part], roots: Collection[str]) -> dict[str, Part]:
    found: dict[str, Part] = {}
    todo = [normalised(each) for each in roots]
    while todo:
        name = todo.pop()
        if name in parts and name not in found:
            found[name] = _as_released(parts[name])
            todo += parts[name].requires
    return found


def _as_released(part: Part) -> Part:
    """Without what depends on where it is installed."""
    component = {key: value for key, value in part.component.items() if key != "properties"}
    return replace(part, component=component)


def _bill(
    subject: Mapping[str, Any], parts: Iterable[Part], direct: Collection[str]
) -> dict[str, Any]:
    ordered = sorted(parts, key=lambda each: each.name)
    refs = {each.name: each.ref for each in ordered}
    python = _python()
    depends = [{"ref": subject["bom-ref"], "dependsOn": [
        *sorted(refs[each] for each in direct), python["bom-ref"],
    ]}]  # fmt: skip
    for each in ordered:
        on = sorted(refs[name] for name in each.requires if name in refs)
        depends.append({"ref": each.ref, **({"dependsOn": on} if on else {})})
    content = {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": PROJECT}]},
            "component": dict(subject),
        },
        "components": [python, *(dict(each.component) for each in ordered)],
        "dependencies": [*depends, {"ref": python["bom-ref"]}],
    }
    text = json.dumps(content, sort_keys=True)
    return {**content, "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, text)}"}


def _python() -> dict[str, Any]:
    name, version = platform.python_implementation(), platform.python_version()
    return {
        "type": "platform", "bom-ref": f"pkg:generic/{name.lower()}@{version}", "name": name,
        "version": version,
    }  # fmt: skip


def _part(name: str, found: metadata.Distribution) -> Part:
    version = str(found.metadata["Version"] or "")
    purl = f"pkg:pypi/{name}@{version.replace('+', '%2B')}"
    component: dict[str, Any] = {
        "type": "library", "bom-ref": purl, "name": found.metadata["Name"], "version": version,
    }  # fmt: skip
    if licences := _licences(found.metadata):
        component["licenses"] = licences
    if hashes := _hashes(found):
        component["hashes"] = hashes
    component["purl"] = purl
    if record := found.read_text("RECORD"):
        digest = hashlib.sha256(record.encode()).hexdigest()
        # It lists every installed file with its sha256.
        component["properties"] = [{"name": "dual-hrnet:record-sha256", "value": digest}]
    return Part(name, component, _requires(found))


def _licences(about: Any) -> list[dict[str, Any]]:
    if expression := about.get("License-Expression"):
        return [{"expression": str(expression)}]
    classified = [
        str(each).rpartition(" :: ")[2]
        for each in about.get_all("Classifier") or ()
        if str(each).startswith("License ::") and not str(each).endswith("OSI Approved")
    ]
    named = (str(about.get("License") or "").strip().splitlines() or [""])[0].strip()
    names = classified or ([named[:_LONGEST_NAME]] if named and named != "UNKNOWN" else [])
    return [{"license": {"name": each}} for each in dict.fromkeys(names)]


def _hashes(found: metadata.Distribution) -> list[dict[str, str]]:
    """Of the archive that it was installed from, where pip wrote that down."""
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        known = origin.get("archive_info", {}).get("hashes", {})
        return [
            {"alg": _HASHES[kind], "content": str(value).lower()}
            for kind, value in sorted(known.items())
            if kind in _HASHES
        ]
    except (ValueError, AttributeError):
        return []


def _requires(found: metadata.Distribution) -> frozenset[str]:
    names = set()
    for line in found.requires or ():
        requirement, _, marker = line.partition(";")
        if "extra" not in marker:
            names.add(normalised(re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]))
    return frozenset(names)
