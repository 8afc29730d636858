import json
import os
import socket
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from runtime.options import MapOptions
from runtime.serve import uploads
from runtime.serve.errors import RefusedError
from tests.runtime.serve.conftest import png


@pytest.fixture(scope="module")
def image() -> bytes:
    return png(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))


def begin(client, size, name="before.png"):
    return client.post("/api/uploads", json={"name": name, "size": size})


def add(client, id, content, offset):
    headers = {"Upload-Offset": str(offset)}
    return client.patch(f"/api/uploads/{id}", content=content, headers=headers)


def stored(server, id):
    return (server.places.uploads / id / "image.png").read_bytes()


def test_an_image_that_comes_in_parts_is_stored_byte_by_byte(server, image):
    id = begin(server.client, len(image)).json()["id"]
    for offset in range(0, len(image), 1000):
        answer = add(server.client, id, image[offset : offset + 1000], offset)
        assert answer.json() == {"offset": min(offset + 1000, len(image))}
    assert stored(server, id) == image
    whole = {"id": id, "name": "before.png", "size": len(image), "offset": len(image)}
    assert server.client.get(f"/api/uploads/{id}").json() == whole


def test_bytes_that_belong_elsewhere_are_refused_with_the_offset(server, image):
    id = begin(server.client, len(image)).json()["id"]
    add(server.client, id, image[:1000], 0)
    for offset in (0, 999, 1001, len(image)):
        answer = add(server.client, id, image[offset : offset + 10], offset)
        assert answer.status_code == 409
        assert answer.json()["offset"] == 1000
    add(server.client, id, image[1000:], 1000)
    assert stored(server, id) == image


def test_more_bytes_than_were_announced_are_refused(server, image):
    id = begin(server.client, len(image) - 1).json()["id"]
    answer = add(server.client, id, image, 0)
    assert answer.status_code == 413
    assert "more than its" in answer.json()["error"]


def test_what_was_synced_is_there_after_a_kill_and_no_byte_more(start, image):
    server = start()
    id = begin(server.client, len(image)).json()["id"]
    add(server.client, id, image[:1000], 0)
    with (server.places.uploads / id / "part").open("ab") as file:
        file.write(b"\0" * 500)  # as a file system may leave it
    server = start()
    assert server.client.get(f"/api/uploads/{id}").json()["offset"] == 1000
    add(server.client, id, image[1000:], 1000)
    assert stored(server, id) == image


def test_an_upload_that_was_whole_and_not_yet_noted_is_whole_after_a_kill(start, image):
    server = start()
    id = begin(server.client, len(image)).json()["id"]
    add(server.client, id, image, 0)
    note = server.places.uploads / id / "upload.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"file": None}))
    server = start()
    assert server.client.get(f"/api/uploads/{id}").json()["offset"] == len(image)
    assert stored(server, id) == image
    assert server.uploads.path(server.uploads.get(id)).name == "image.png"


def test_a_request_that_goes_on_takes_over_from_one_that_hangs(server, image):
    """Of a connection that broke, the server's end may never hear."""
    id = begin(server.client, len(image)).json()["id"]
    with server.uploads.adding(id, 0) as old:
        old.write(image[:1000])
        assert add(server.client, id, image[1000:2000], 1000).status_code == 200
        with pytest.raises(RefusedError, match="another request"):
            old.write(b"late")
    add(server.client, id, image[2000:], 2000)
    assert stored(server, id) == image


def test_a_connection_that_breaks_loses_nothing_that_came(start_process, image, tmp_path):
    process = start_process().ready()
    _, begun = process.ask("POST", "/api/uploads", {"name": "a.png", "size": len(image)})
    path = f"/api/uploads/{begun['id']}"
    port = int(process.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = f"PATCH {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpload-Offset: 0\r\n"
        head += f"Content-Length: {len(image)}\r\n\r\n"
        connection.sendall(head.encode() + image[:5000])
        time.sleep(0.3)  # what comes in the same moment as the end may be lost
    end = time.monotonic() + 20
    while (there := process.ask("GET", path)[1]["offset"]) != 5000:
        assert time.monotonic() < end, there
    assert process.ask("PATCH", path, image[5000:], **{"Upload-Offset": "5000"})[0] == 200
    assert (tmp_path / "data/uploads" / begun["id"] / "image.png").read_bytes() == image


def test_size_number_and_room_are_bounded(start, image, monkeypatch):
    server = start(most=10_000_000)
    assert begin(server.client, 10_000_001).status_code == 413
    assert begin(server.client, 0).status_code == 422
    ids = [begin(server.client, 10).json()["id"] for _ in range(8)]
    assert begin(server.client, 10).status_code == 429
    assert server.client.delete(f"/api/uploads/{ids[0]}").status_code == 204
    assert begin(server.client, 10).status_code == 201
    assert server.client.delete(f"/api/uploads/{ids[1]}").status_code == 204
    monkeypatch.setattr(uploads, "RESERVE", 1 << 60)
    full = begin(server.client, 10)
    assert full.status_code == 507
    assert "the disk has room for 0" in full.json()["error"]


def test_an_upload_that_nobody_uses_goes_after_a_day(server, image, monkeypatch):
    id = server.upload(image)
    folder = server.places.uploads / id
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    begin(server.client, 10)
    assert not folder.exists()
    assert server.client.get(f"/api/uploads/{id}").status_code == 404


def test_an_upload_that_a_job_uses_is_not_deleted(server, draw):
    job = server.begin(*draw(40, 50))
    upload = server.jobs.get(job).pre.upload
    refused = server.client.delete(f"/api/uploads/{upload}")
    assert refused.status_code == 409
    assert job in refused.json()["error"]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(side: int) -> bytes:
    """A PNG of side x side pixels in a few kilobytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1 << 20), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def tiff_bomb() -> bytes:
    """One block of 100,000 x 100,000 pixels, compressed."""
    entries = [
        (256, 4, 100_000), (257, 4, 100_000), (258, 3, 8), (259, 3, 8), (262, 3, 2), (273, 4, 8),
        (277, 3, 3), (278, 4, 100_000), (279, 4, 10),
    ]  # fmt: skip
    body = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        body += struct.pack("<HHI", tag, kind, 1) + (
            struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value)
        )
    return (
        b"II*\0" + struct.pack("<I", 18) + zlib.compress(b"")[:8].ljust(10, b"\0") + body + bytes(4)
    )


VRT = b"""<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>/etc/passwd</SourceFilename></SimpleSource></VRTRasterBand>
</VRTDataset>"""

REFUSED = {
    "a.vrt": VRT,
    "a.png": VRT,
    "a.tif": VRT,
    "evil.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "a.html": b"<script>alert(1)</script>",
    "wms.xml": b"<GDAL_WMS><Service name='TMS'><ServerUrl>http://x/</ServerUrl></Service></GDAL_WMS>",
    "a.zip": b"PK\x03\x04" + bytes(100),
    "a.gif": b"GIF89a" + bytes(100),
    "a.jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
    "nul.png": bytes(1000),
    "short.png": b"\x89PN",
    "bomb.png": bomb(100_000),
    "bomb.tif": tiff_bomb(),
    "broken.tif": b"II*\0" + bytes(100),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_by_its_bytes_goes_at_once(server, name):
    content = REFUSED[name]
    id = begin(server.client, len(content), name).json()["id"]
    answer = add(server.client, id, content, 0)
    assert answer.status_code == 415, answer.text
    line = answer.json()["error"]
    assert "\n" not in line
    assert str(server.places.data) not in line
    assert not (server.places.uploads / id).exists()
    assert server.client.get(f"/api/uploads/{id}").status_code == 404


NAMES = [
    "../../../etc/passwd", "/etc/passwd", "..", ".", "a/b.png", "a\\b.png", "C:\\x.png", "CON",
    "NUL.png", "com1.tif", "a\0b.png", "a\nb.png", "a\x1b[31mb.png", "<img src=x onerror=alert(1)>",
    "'; DROP TABLE jobs; --", "%2e%2e%2f", "\u202egnp.exe", "é" * 120, "a" * 255, " ", ".hidden",
    "upload.json", "image.png", "$(reboot).png", "`id`.png", "name\r\nset-cookie: a=b",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_and_is_no_path(server, image, name):
    before = {path for path in server.places.data.parent.rglob("*") if path.is_dir()}
    id = server.upload(image, name)
    made = {path for path in server.places.data.parent.rglob("*") if path.is_dir()} - before
    assert made == {server.places.uploads / id}
    assert {path.name for path in (server.places.uploads / id).iterdir()} == {
        "image.png",
        "upload.json",
    }
    answer = server.client.get(f"/api/uploads/{id}")
    assert answer.json()["name"] == name
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("id", ["..", "%2e%2e", "%2e%2e%2f%2e%2e", "a" * 5000, "%00"])
def test_an_id_is_no_path(server, id):
    for path in (f"/api/uploads/{id}", f"/api/jobs/{id}", f"/api/jobs/{id}/files/summary.json"):
        assert server.client.get(path).status_code in (404, 405)


def test_a_large_upload_takes_little_memory(start_process, tmp_path):
    """80 MB through a process whose peak is looked at before and after."""
    process = start_process().ready()
    size, piece = 80_000_000, 4_000_000
    header = struct.pack("<4sI", b"II*\0", 8) + struct.pack("<H", 0) + bytes(4)
    _, begun = process.ask("POST", "/api/uploads", {"name": "a.tif", "size": size})
    path = f"/api/uploads/{begun['id']}"
    peak = []
    for offset in range(0, size, piece):
        some = header.ljust(piece, b"\1") if offset == 0 else b"\1" * piece
        status, _ = process.ask("PATCH", path, some, **{"Upload-Offset": str(offset)})
        if offset == 0:
            peak.append(peak_of(process.process.pid))
    assert status == 415  # it is no image after all
    peak.append(peak_of(process.process.pid))
    assert peak[1] - peak[0] < 20_000_000
    assert not list((tmp_path / "data" / "uploads").iterdir())


def peak_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def test_many_at_once_come_whole(server, image):
    """Threads of one server, each with its own upload."""
    found = []

    def one():
        id = begin(server.client, len(image)).json()["id"]
        for offset in range(0, len(image), 3000):
            add(server.client, id, image[offset : offset + 3000], offset)
        found.append(stored(server, id))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [image] * 6


def test_a_16_bit_image_is_taken_where_the_server_has_a_scale_or_not(start, scene, tmp_path):
    path, *_ = scene(40, 50)
    for options in (MapOptions(), MapOptions(scale=(0.0, 1000.0))):
        server = start(options)
        id = server.upload(path.read_bytes(), "a.tif")
        assert server.uploads.get(id).file == "image.tif"
