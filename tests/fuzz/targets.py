"""What is fuzzed: one function a kind of file, and files to begin with.

A function gets a file's content and a folder of its own. It may raise ToolkitError and nothing
else.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pyogrio.raw
import rasterio
import shapely
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rasterio.crs import CRS

from runtime.buildings.footprint_file import open_footprints
from runtime.buildings.footprints import grade
from runtime.buildings.interest import read_area
from runtime.damage import CLASS_NAMES
from runtime.manifest import (
    FILE_NAME,
    FORMAT,
    Batch,
    Graph,
    Input,
    Manifest,
    Model,
    PayloadFile,
    Target,
    WindowGate,
)  # fmt: skip
from runtime.many.pairs import find_pairs
from runtime.output.vectors import write_buildings
from runtime.source import grid, raster, trusted  # noqa: F401 (imported where it is instrumented)
from runtime.source.georeference import Georeference
from runtime.source.pair import open_pair
from runtime.source.xbd_label import georeference_of
from runtime.trust import SIGNATURE
from runtime.trust.bundle import (
    MEDIA_TYPE,
    PAYLOAD_TYPE,
    BundleError,
    pre_authenticated,
    read_bundle,
)  # fmt: skip
from runtime.trust.signed import signed
from runtime.trust.statement import StatementError, signed_files

SIDE = 24
KEY = ec.derive_private_key(12_345, ec.SECP256R1())  # the same in each run
PUBLIC = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
PLACE = Georeference(CRS.from_epsg(4326).to_wkt(), (0.01, 0, 10, 0, -0.01, 50))
SQUARE = shapely.box(10.05, 49.85, 10.15, 49.95)


@dataclass(frozen=True)
class Fuzzed:
    use: Callable[[bytes, Path], None]
    seeds: Callable[[Path], Iterator[bytes]]


def read_manifest(content: bytes, folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(content)
    Manifest.read(folder).rebuild_command(folder)


def manifests(folder: Path) -> Iterator[bytes]:
    manifest = Manifest(
        FORMAT, Model("dual-hrnet", 8, 1234, "ab" * 32), Graph("cd" * 32, 17),
        Input(32, 64, Batch(1, 1, 4), "RGB", 0.5), CLASS_NAMES, "int8",
        Target("tensorrt", "10.3", "8.6", "linux-x86_64"), None, {"status": "ran"},
        (PayloadFile("engine.plan", 7, "ef" * 32),), "2026-01-02T03:04:05+00:00",
    )  # fmt: skip
    yield json.dumps(asdict(manifest)).encode()
    gate = WindowGate(
        manifest.model, manifest.graph, "fp16", 2, 40, 32, {"buildings": 9},
        (PayloadFile("engine.plan", 7, "ef" * 32),),
    )  # fmt: skip
    yield json.dumps(asdict(replace(manifest, gate=gate))).encode()
    yield b'{"format": 2}'


def read_signature(content: bytes, folder: Path) -> None:
    """As far as a stranger's file gets: no key has made what the fuzzer makes."""
    engine, trust = folder / "engine", folder / "trust"
    for each in (engine, trust):
        each.mkdir(mode=0o700, exist_ok=True)
    (trust / "key.pub").write_bytes(PUBLIC)
    (trust / "key.pub").chmod(0o600)
    (engine / SIGNATURE).write_bytes(content)
    with contextlib.suppress(BundleError, StatementError):
        signed_files(read_bundle(content).statement)
    signed(engine, [trust])


def signatures(folder: Path) -> Iterator[bytes]:
    """In both forms; the certificate is the key's own."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "e", "digest": {"sha256": hashlib.sha256(b"").hexdigest()}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
            "resources": [],
        },
    }
    payload = json.dumps(statement).encode()
    made = KEY.sign(pre_authenticated(payload), ec.ECDSA(hashes.SHA256()))
    envelope = {
        "payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": base64.b64encode(made).decode(), "keyid": ""}],
    }  # fmt: skip
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Signer")])
    begin = datetime.datetime(2026, 1, 1)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
        .public_key(KEY.public_key()).not_valid_before(begin)
        .not_valid_after(begin.replace(year=2126)).sign(KEY, hashes.SHA256())
    )  # fmt: skip
    raw = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
    for material in (
        {"publicKey": {"hint": hashlib.sha256(PUBLIC).hexdigest()}, "tlogEntries": []},
        {"x509CertificateChain": {"certificates": [{"rawBytes": raw}]}},
    ):
        bundle = {
            "mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope,
        }  # fmt: skip
        yield json.dumps(bundle).encode()


def read_label(content: bytes, folder: Path) -> None:
    path = folder / "label.json"
    path.write_bytes(content)
    georeference_of(path)


def labels(folder: Path) -> Iterator[bytes]:
    pixels = shapely.box(1, 2, 901, 802)
    place = shapely.transform(pixels, lambda points: points * (4e-6, -4e-6) + (10, 50))
    shapes = {"xy": pixels, "lng_lat": place}
    yield json.dumps({"features": {
        name: [{"properties": {"uid": "a", "subtype": "no-damage"}, "wkt": shape.wkt}]
        for name, shape in shapes.items()
    }, "metadata": {"width": 1024}}).encode()  # fmt: skip
    yield b'{"features": {"xy": [], "lng_lat": []}}'
    for wkt in (["POINT (1 2)"], 7, None, "POLYGON EMPTY", "POLYGON ((1 1, 1 1, 1 1, 1 1))",
                "POLYGON Z ((1 1 NaN, 2 1e308 0, 3 3 0, 1 1 NaN))"):  # fmt: skip
        feature = {"properties": {"uid": wkt}, "wkt": wkt}
        yield json.dumps({"features": {"xy": [feature] * 2, "lng_lat": [feature]}}).encode()


def read_pairs(content: bytes, folder: Path) -> None:
    path = folder / "pairs.csv"
    path.write_bytes(content)
    find_pairs(path)


def lists(folder: Path) -> Iterator[bytes]:
    yield b"pre,post\na_pre.png,a_post.png\n"
    yield b'\xef\xbb\xbfname,pre,post,note\n"a, b",a.tif,/vsicurl/http://x/b.tif,"line\nbreak"\n'


def read_picture(content: bytes, folder: Path) -> None:
    _map(_with_checksums(content), folder / "picture.png")


def pictures(folder: Path) -> Iterator[bytes]:
    image = np.arange(SIDE * SIDE * 3, dtype=np.uint8).reshape(SIDE, SIDE, 3)
    for suffix, flags in (
        (".png", ()), (".jpg", ()), (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    ):  # fmt: skip
        yield cv2.imencode(suffix, image, flags)[1].tobytes()
    yield cv2.imencode(".png", image.astype(np.uint16) * 257)[1].tobytes()


def read_raster(content: bytes, folder: Path) -> None:
    _map(content, folder / "raster.tif")


def rasters(folder: Path) -> Iterator[bytes]:
    path = folder / "seed.tif"
    for options in (
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"compress": "deflate", "nodata": 7},
        {"compress": "jpeg", "photometric": "YCBCR"},
        {"count": 4, "dtype": "uint16", "interleave": "band", "BIGTIFF": "YES", "alpha": "yes"},
    ):
        profile = {
            "driver": "GTiff", "height": SIDE, "width": SIDE, "count": 3, "dtype": "uint8",
            "photometric": "RGB", "crs": PLACE.crs_wkt, **options,
            "transform": rasterio.Affine(*PLACE.transform),
        }  # fmt: skip
        with rasterio.open(path, "w", **profile) as file:
            shape = (profile["count"], SIDE, SIDE)
            file.write(np.arange(np.prod(shape)).reshape(shape).astype(profile["dtype"]))
        yield path.read_bytes()


def read_footprints(content: bytes, folder: Path) -> None:
    path = folder / "footprints.geojson"
    path.write_bytes(content)
    file = open_footprints(path, 100, 100, PLACE)
    nothing = np.zeros((100, 100), np.uint8)
    write_buildings(
        grade(file, lambda: (nothing, nothing), PLACE), folder / "out", PLACE, file.attributes
    )
    read_area(path, 100, 100, PLACE)
    for _ in file.read(PLACE):
        pass


def footprints(folder: Path) -> Iterator[bytes]:
    for driver, name in (("GeoJSON", "a.geojson"), ("GPKG", "a.gpkg"), ("FlatGeobuf", "a.fgb")):
        path = folder / name
        pyogrio.raw.write(
            path, shapely.to_wkb(np.array([SQUARE])), [np.array([7])], ["damage"],
            geometry_type="Polygon", crs="EPSG:4326", driver=driver,
        )  # fmt: skip
        yield path.read_bytes()


def _map(content: bytes, path: Path) -> None:
    """What a pair's windows and overview are read by, with a scale for all but 8 bits."""
    path.write_bytes(content)
    with open_pair(path, path, scale=(0, 1000)) as pair:
        height, width = min(pair.height, 64), min(pair.width, 64)
        pair.read(0, 0, height, width)
        pair.read(pair.height - height, pair.width - width, height, width)
        pair.post.reduced(0, 0, height, width, (1, 1))


def _with_checksums(content: bytes) -> bytes:
    """A PNG's checksums set right: without that hardly any change comes past them."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content
    mended, position = io.BytesIO(content), 8
    while position + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        end = position + 8 + length
        if end + 4 > len(content):
            break
        mended.seek(end)
        mended.write(struct.pack(">I", zlib.crc32(content[position + 4 : end])))
        position = end + 4
    return mended.getvalue()


TARGETS = {
    "manifest": Fuzzed(read_manifest, manifests),
    "signature": Fuzzed(read_signature, signatures),
    "label": Fuzzed(read_label, labels),
    "pairs": Fuzzed(read_pairs, lists),
    "picture": Fuzzed(read_picture, pictures),
    "raster": Fuzzed(read_raster, rasters),
    "footprints": Fuzzed(read_footprints, footprints),
}
