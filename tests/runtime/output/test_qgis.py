"""Maps in a real QGIS: legends, colours and places, by what it reports and by what it draws."""

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import shapely
from pyogrio.raw import read, write
from rasterio.features import rasterize
from rasterio.warp import transform as transform_points

from runtime.damage import CLASS_COLOURS, CLASS_NAMES

PYTHON = "/usr/bin/python3"
"""QGIS belongs to the system's Python, where it is installed as a package of the system."""

GROUND = (10, 90, 60)
MAGENTA = (255, 0, 255)
GREY = (150, 150, 150)
NAMES = [*CLASS_NAMES, "not computed"]
HEIGHT, WIDTH = 200, 260

PLACES = {
    "UTM": ("EPSG:32614", (0.5, 0, 500_000, 0, -0.5, 3_300_000)),
    "Web Mercator": ("EPSG:3857", (0.6, 0, -11_020_000, 0, -0.6, 3_480_000)),
    "degrees": ("EPSG:4326", (5e-6, 0, -99, 0, -5e-6, 29.8)),
    "northwards": ("EPSG:32614", (0.5, 0, 500_000, 0, 0.5, 3_300_000)),
}
TURNED = ("EPSG:32614", (0.4, 0.3, 500_000, 0.3, -0.4, 3_300_000))


@functools.cache
def without_qgis() -> str | None:
    """Why these tests cannot run."""
    if not Path(PYTHON).exists():
        return f"there is no {PYTHON}"
    done = subprocess.run([PYTHON, "-c", "import qgis.core"], capture_output=True, text=True)
    return f"{PYTHON} has no QGIS (apt-get install python3-qgis)" if done.returncode else None


@pytest.fixture
def qgis(tmp_path):
    """Open layers in QGIS and draw pictures: the reports."""
    if why := without_qgis():
        pytest.skip(why)

    def run(*layers, pictures=(), before=()):
        request = {"layers": [str(each) for each in layers], "pictures": list(pictures)}
        home = tmp_path / "home"
        home.mkdir(mode=0o700, exist_ok=True)
        own = {
            "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "QT_QPA_PLATFORM": "offscreen",
            "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        done = subprocess.run(
            [*before, PYTHON, str(Path(__file__).with_name("in_qgis.py"))], env=own,
            input=json.dumps(request), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "partially supported" not in done.stderr  # GDAL of a format newer than it is
        return json.loads(done.stdout)

    return run


@pytest.fixture
def placed(write_raster, draw, mapped, tmp_path):
    """Map a pair with a hole in it that lies at `place`: summary, folder, damage."""

    def make(place=PLACES["UTM"], **options):
        crs, transform = place
        pre, post = draw(HEIGHT, WIDTH)
        pre[pre == 0] = 1
        pre[60:120, 100:190] = 0
        at = {"crs": crs, "transform": rasterio.Affine(*transform), "nodata": 0}
        paths = [
            write_raster(tmp_path / f"{name}.tif", image, **at)
            for name, image in (("pre", pre), ("post", post))
        ]
        summary, out = mapped(*paths, **options)
        with rasterio.open(out / "damage.tif") as file:
            return summary, out, file.read(1)

    return make


def corners(place, height=HEIGHT, width=WIDTH):
    """xmin, ymin, xmax, ymax of the scene."""
    a, b, c, d, e, f = place[1]
    columns, rows = np.array([0, width, 0, width]), np.array([0, 0, height, height])
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    return [float(each) for each in (x.min(), y.min(), x.max(), y.max())]


def seen(damage):
    """RGB, as a map over GROUND should look."""
    colours = np.full((256, 3), MAGENTA, np.uint8)
    colours[:5] = CLASS_COLOURS
    colours[0] = GROUND
    return colours[damage]


def even(damage, margin):
    """Pixels whose neighbourhood is of one value: the places that rounding cannot change."""
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return cv2.erode(damage, kernel) == cv2.dilate(damage, kernel)


def picture_of(path):
    return cv2.imread(str(path))[..., ::-1]


@pytest.mark.parametrize("name", PLACES)
def test_the_layers_are_as_the_map(name, placed, qgis, tmp_path):
    place = PLACES[name]
    summary, out, damage = placed(place)
    files = [out / "damage.tif", out / "confidence.tif", out / "buildings.gpkg"]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    picture = {
        "layers": [0], "crs": place[0], "extent": corners(place), "size": [WIDTH, HEIGHT],
        "out": str(tmp_path / "damage.png"),
    }  # fmt: skip
    first, second, third = qgis(*files, pictures=[picture])
    for each in (first, second, third):
        assert each["valid"]
        assert each["crs"] == place[0]
    assert first["extent"] == pytest.approx(corners(place), abs=1e-6)
    assert second["extent"] == pytest.approx(corners(place), abs=1e-6)

    assert first["renderer"] == "paletted"
    assert first["legend"][1:] == NAMES
    assert first["legend"][0].startswith("Band 1")
    assert first["values"] == [0, 1, 2, 3, 4, 255]
    alphas = [0, 255, 255, 255, 255, 255]
    colours = zip((*CLASS_COLOURS, MAGENTA), alphas, strict=True)
    expected = [[name, [*rgb, a]] for name, (rgb, a) in zip(NAMES, colours, strict=True)]
    assert first["entries"] == expected
    assert first["nodata"] == 255
    assert {0, 1, 2, 3, 4, 255} == set(np.unique(damage))
    upright = damage if place[1][4] < 0 else damage[::-1]
    np.testing.assert_array_equal(picture_of(tmp_path / "damage.png"), seen(upright))

    assert second["renderer"] == "singlebandpseudocolor"
    assert second["legend"][1:] == ["0%", "25%", "50%", "75%", "100%"]
    assert second["nodata"] == 0
    with rasterio.open(out / "confidence.tif") as file:
        known = file.read(1, masked=True).compressed()
    assert second["range"] == pytest.approx([known.min() / 255, known.max() / 255])

    assert third["tables"] == ["buildings"]  # that of styles is not offered as a layer
    assert third["geometry"] == "Polygon"
    assert third["attribute"] == "damage"
    assert third["categories"] == {
        name: [*colour, 255]
        for name, colour in zip(CLASS_NAMES[1:], CLASS_COLOURS[1:], strict=True)
    }
    assert third["legend"] == list(CLASS_NAMES[1:])
    totals = {name: row["buildings"] for name, row in summary["classes"].items()}
    assert third["counts"] == {name: number for name, number in totals.items() if number}
    assert third["fields"]["area_m2"] == "Area (m²)"
    assert all(alias != field for field, alias in third["fields"].items() if field != "fid")

    left = {path.name for path in out.iterdir()}
    assert left - before.keys() <= {"confidence.tif.aux.xml"}  # of the statistics asked for here
    assert all((out / each).read_bytes() == content for each, content in before.items())


@pytest.mark.parametrize(
    ("place", "crs"), [(PLACES["UTM"], "EPSG:3857"), (TURNED, "EPSG:32614"), (TURNED, "EPSG:3857")]
)
def test_the_map_lies_where_it_should_in_a_project_with_another_grid(
    place, crs, placed, qgis, tmp_path
):
    _, out, damage = placed(place)
    left, bottom, right, top = corners(place)
    xs, ys = transform_points(place[0], crs, [left, right] * 2, [bottom, bottom, top, top])
    extent = [min(xs) - 5, min(ys) - 5, max(xs) + 5, max(ys) + 5]
    width = 600
    height = round(width * (extent[3] - extent[1]) / (extent[2] - extent[0]))
    extent[1] = extent[3] - (extent[2] - extent[0]) * height / width
    picture = {
        "layers": [0], "crs": crs, "extent": extent, "size": [width, height],
        "out": str(tmp_path / "damage.png"),
    }  # fmt: skip
    (report,) = qgis(out / "damage.tif", pictures=[picture])
    assert report["legend"][1:] == NAMES
    assert report["crs"] == place[0]
    drawn = picture_of(tmp_path / "damage.png")

    step = (extent[2] - extent[0]) / width
    x = np.tile(extent[0] + (np.arange(width) + 0.5) * step, height)
    y = np.repeat(extent[3] - (np.arange(height) + 0.5) * step, width)
    x, y = map(np.array, transform_points(crs, place[0], x, y))
    a, b, c, d, e, f = place[1]
    columns, rows = np.linalg.inv([[a, b], [d, e]]) @ (x - c, y - f)
    bordered = np.pad(damage, 3, constant_values=9)  # 9: not of the map
    reach = np.clip(np.floor(rows) + 3, 0, HEIGHT + 5).astype(int)
    across = np.clip(np.floor(columns) + 3, 0, WIDTH + 5).astype(int)
    there = bordered[reach, across].reshape(height, width)
    sure = even(bordered, 2)[reach, across].reshape(height, width)
    inside = sure & (there != 9)
    assert inside.mean() > 0.2
    assert (there[inside] == 255).any()
    np.testing.assert_array_equal(drawn[inside], seen(there)[inside])
    outside = sure & (there == 9)
    # QGIS lays a grid that is turned on an upright one, and what that adds was not computed.
    allowed = (GROUND, MAGENTA) if place is TURNED else (GROUND,)
    assert all((drawn[outside] == each).all(axis=1).any() for each in allowed)
    assert {tuple(each) for each in drawn[outside].tolist()} <= set(allowed)


def test_buildings_are_drawn_in_the_colours_of_their_classes(placed, qgis, tmp_path):
    place = PLACES["UTM"]
    _, out, damage = placed(place)
    scale = 4
    picture = {
        "layers": [1, 0], "crs": place[0], "extent": corners(place),
        "size": [WIDTH * scale, HEIGHT * scale], "out": str(tmp_path / "buildings.png"),
    }  # fmt: skip
    qgis(out / "damage.tif", out / "buildings.gpkg", pictures=[picture])
    drawn = picture_of(tmp_path / "buildings.png")
    meta, _, geometry, fields = read(out / "buildings.gpkg", layer="buildings")
    classes = fields[list(meta["fields"]).index("damage_class")]
    a, _, c, _, e, f = place[1]
    transform = rasterio.Affine(a / scale, 0, c, 0, e / scale, f)
    found = set()
    # Away from the outline, whose width is a fifth of a millimetre.
    inner = shapely.buffer(shapely.from_wkb(geometry), -0.5)
    for polygon, value in zip(inner, classes.tolist(), strict=True):
        if polygon.is_empty:
            continue
        inside = rasterize([polygon], drawn.shape[:2], transform=transform).astype(bool)
        assert (drawn[inside] == CLASS_COLOURS[value]).all()
        found.add(value)
    assert found == {1, 2, 3, 4}
    hole = cv2.erode((damage == 255).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    assert (drawn[scale // 2 :: scale, scale // 2 :: scale][hole] == MAGENTA).all()


def test_footprints_without_a_grade_have_colours_of_their_own(placed, qgis, tmp_path):
    a, _, c, _, e, f = PLACES["UTM"][1]

    def box(left, top, right, bottom):
        return shapely.box(c + a * left, f + e * bottom, c + a * right, f + e * top)

    boxes = [box(0, 0, 30, 30), box(40, 20, 70, 50), box(110, 70, 140, 100), box(-90, 0, -50, 30)]
    write(
        str(tmp_path / "footprints.gpkg"), geometry=shapely.to_wkb(np.array(boxes, object)),
        geometry_type="Polygon", crs="EPSG:32614", field_data=[], fields=[],
    )  # fmt: skip
    summary, out, _ = placed(footprints=tmp_path / "footprints.gpkg")
    (report,) = qgis(out / "buildings.gpkg")
    assert report["legend"] == [*CLASS_NAMES[1:], "unknown", "not computed"]
    assert report["categories"]["unknown"] == [*GREY, 255]
    assert report["categories"]["not computed"] == [*MAGENTA, 255]
    assert report["counts"].pop("not computed") == 1
    assert report["counts"].keys() <= report["categories"].keys()
    assert report["geometry"] == "MultiPolygon"
    assert summary["buildings"] == 3
    assert all(alias != field for field, alias in report["fields"].items() if field != "fid")


def test_geojson_is_cut_at_180_degrees(placed, qgis):
    (x,), (y,) = transform_points("EPSG:4326", "EPSG:32760", [180], [-17])
    place = ("EPSG:32760", (0.5, 0, x - 65, 0, -0.5, y + 50))  # as far to the east as to the west
    summary, out, _ = placed(place)
    (report,) = qgis(out / "buildings.geojson")
    assert report["valid"]
    assert report["crs"] == "EPSG:4326"
    assert -180 <= report["extent"][0] < -179.9
    assert 179.9 < report["extent"][2] <= 180
    assert sum(report["counts"].values()) == summary["buildings"]


def test_a_folder_that_is_read_only_opens(placed, qgis, tmp_path):
    _, out, _ = placed()
    before = ()
    if os.geteuid() == 0:  # who may write everywhere, unless that is taken from him
        if not shutil.which("setpriv"):
            pytest.skip("root writes into read-only folders")
        before = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    names = {path.name for path in out.iterdir()}
    for path in out.iterdir():
        path.chmod(0o444)
    out.chmod(0o555)
    try:
        reports = qgis(
            out / "damage.tif", out / "confidence.tif", out / "buildings.gpkg", before=before
        )
        assert [each["renderer"] for each in reports] == [
            "paletted", "singlebandpseudocolor", "categorizedSymbol",
        ]  # fmt: skip
        assert sum(reports[2]["counts"].values()) > 0
        assert {path.name for path in out.iterdir()} == names
    finally:
        out.chmod(0o755)
