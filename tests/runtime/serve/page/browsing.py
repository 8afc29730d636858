"""A server of the example engine, and a browser that leaves this machine for nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from rasterio.transform import from_origin

REPOSITORY = Path(__file__).parents[4]
EXAMPLE = REPOSITORY / "runtime" / "example"
UNKNOWN = 96
"""Pixels a side of the corner of the placed scene that its second image does not show."""


@dataclass(frozen=True)
class Box:
    url: str
    data: Path

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:
            return json.load(answer)

    def map_pair(self, pair: str, name: str) -> str:
        """The id of its job, which is done."""
        body = json.dumps({"pair": pair, "name": name}).encode()
        request = urllib.request.Request(
            f"{self.url}/api/jobs", body, {"Content-Type": "application/json"}
        )
        wait(lambda: any(each["name"] == pair for each in self.get("/api/pairs")))
        with urllib.request.urlopen(request, timeout=20) as answer:
            id = json.load(answer)["id"]
        wait(lambda: self.get(f"/api/jobs/{id}")["state"] == "done")
        return str(id)


def wait(condition: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


@contextlib.contextmanager
def serving(data: Path, *options: str) -> Iterator[Box]:
    command = [
        *(sys.executable, "-m", "runtime.serve", "--engine", str(EXAMPLE / "engine")),
        *("--data", str(data), "--port", "0", *options),
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    told = data.parent / f"{data.name}.log"
    with (
        told.open("w") as log,
        subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log
        ) as server,
    ):

        def address() -> re.Match[str] | None:
            assert server.poll() is None, told.read_text()
            return re.search(r"serving at (http://[^/\s]+)", told.read_text())

        try:
            yield Box(wait(address)[1], data)
        finally:
            server.terminate()
            server.wait(30)


def place_pair(inbox: Path, name: str) -> None:
    """The example's pair with a place on the ground; a corner of it is not known."""
    inbox.mkdir(parents=True, exist_ok=True)
    for role in ("pre", "post"):
        image = cv2.imread(str(EXAMPLE / f"{role}.png"))[..., ::-1].copy()
        image = np.maximum(image, 1)
        if role == "post":
            image[-UNKNOWN:, :UNKNOWN] = 0
        with rasterio.open(
            inbox / f"{name}_{role}.tif", "w", driver="GTiff", width=384, height=384, count=3,
            dtype="uint8", crs="EPSG:32616", transform=from_origin(500_000, 2_540_000, 0.5, 0.5),
            nodata=0,
        ) as file:  # fmt: skip
            file.write(np.moveaxis(image, 2, 0))


@dataclass
class Visits:
    """Pages of a browser; what they asked other machines for, and what went wrong in them.

    expected: parts of the browser's own lines about what a test makes fail.
    """

    browser: Any
    box: Box
    elsewhere: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    def open(self, path: str = "/", width: int = 1280, height: int = 800, **options: Any) -> Any:
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, locale="en-GB", **options
        )
        context.route("**/*", self._pass)
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog {dialog.message}"))
        page.on("console", lambda line: line.type == "error" and self.faults.append(line.text))
        page.goto(self.box.url + path)
        return page

    def phone(self, path: str = "/", **options: Any) -> Any:
        return self.open(path, 390, 844, has_touch=True, is_mobile=True, **options)

    def _pass(self, route: Any) -> None:
        if route.request.url.startswith((self.box.url, "blob:", "data:")):
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        assert self.elsewhere == []
        assert [
            fault for fault in self.faults if not any(each in fault for each in self.expected)
        ] == []


def shown(page: Any) -> None:
    """Wait for the map and the list."""
    page.wait_for_selector(".leaflet-tile-loaded")
    page.wait_for_selector(".list .building")


def say_who(page: Any, name: str = "Ada") -> None:
    page.locator("dialog input").fill(name)
    page.locator("dialog button.main").click()
