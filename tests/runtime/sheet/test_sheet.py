"""The sheet: HTML and PDF with the same numbers, which are those of the map's files."""

import datetime
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pypdf
import pytest

from runtime import files
from runtime.corrections import Corrections
from runtime.engine import load_engine
from runtime.errors import ConfigError
from runtime.finished import open_map
from runtime.finished.images import images_of
from runtime.mapping import map_pair
from runtime.options import MapOptions
from runtime.sheet import write
from runtime.sheet.content import sheet_of
from runtime.sheet.ground import ground_of
from runtime.sheet.html import html_of
from runtime.sheet.pdf import pdf_of, shown
from runtime.sheet.picture import corrected

EXAMPLE = Path(__file__).parents[3] / "runtime" / "example"
NOW = datetime.datetime(2026, 12, 1, 9, 30, tzinfo=datetime.timezone.utc)
HOSTILE = '</style><script>alert(1)</script> & "Köyceğiz" \u202egpj.exe\nДніпро'


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    out = tmp_path_factory.mktemp("maps")
    for name in ("pre.png", "post.png", "label.json"):
        shutil.copy(EXAMPLE / name, out)
    with load_engine(EXAMPLE / "engine", threads=1) as engine:
        for name, label in (("picture", None), ("placed", out / "label.json")):
            options = MapOptions(label=label)
            map_pair(engine, out / "pre.png", out / "post.png", out / name, options)
    return out


@pytest.fixture
def placed(maps, tmp_path):
    return Path(shutil.copytree(maps / "placed", tmp_path / "placed"))


@pytest.fixture
def picture(maps, tmp_path):
    return Path(shutil.copytree(maps / "picture", tmp_path / "picture"))


class _Text(HTMLParser):
    """What a reader sees; tags in their order."""

    def __init__(self):
        super().__init__()
        self.words, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, text):
        self.words.append(text)


def seen(html: str):
    parser = _Text()
    parser.feed(re.sub(r"<style>.*?</style>|<title>.*?</title>", "", html, flags=re.DOTALL))
    return parser


def both(folder, **options):
    sheet = sheet_of(open_map(folder), now=NOW, **options)
    html, pdf = html_of(sheet), pdf_of(sheet, NOW)
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    return html, reader


def pdf_text(reader) -> str:
    """Without the number of each page, which HTML has not."""
    footers = len(reader.pages)
    text = "\n".join(page.extract_text() for page in reader.pages)
    assert f"{footers}/{footers}" in text
    return text


def test_html_and_pdf_say_the_same(placed):
    with Corrections(placed) as corrections:
        corrections.set(5, "destroyed", "Ana")
        corrections.add([(10, 10), (20, 10), (20, 20), (10, 20)], "minor-damage", "Ana")
    html, reader = both(placed)
    of_html = [" ".join(each.split()) for each in seen(html).words if each.strip()]
    of_pdf = "".join(pdf_text(reader).split())
    assert len(of_html) > 80
    for each in of_html:
        assert "".join(each.split()) in of_pdf, each
    sheet = sheet_of(open_map(placed), now=NOW)
    for table in (sheet.totals, sheet.worst, sheet.unknown):
        for row in table.rows:
            assert "".join("".join(row).split()) in of_pdf


def test_the_numbers_are_those_of_the_map_its_corrections_and_its_estimate(placed):
    summary = json.loads((placed / "summary.json").read_text())
    with Corrections(placed) as corrections:
        first = next(
            each.id for each in corrections.buildings() if each.damage_class == "destroyed"
        )
        corrections.set(first, "not-a-building", "Ana")
        corrections.set(first + 1, "un-classified", "Ana")
        totals, count = corrections.totals(), corrections.count()
    estimate = {
        "classes": {name: {"mapped": row["buildings"], "estimate": 1234.4, "low": 1100.2,
                           "high": 1402.6} for name, row in summary["classes"].items()},
        "level": 0.9, "method": "stratified <sample>", "checked": 321, "date": "2026-11-30",
        "corrections": count, "map_sha256": summary["files"]["buildings.gpkg"]["sha256"],
    }  # fmt: skip
    (placed / "estimate.json").write_text(json.dumps({**estimate, "map_sha256": "another"}))
    assert "Estimate" not in sheet_of(open_map(placed), now=NOW).totals.header
    (placed / "estimate.json").write_text(json.dumps(estimate))
    sheet = sheet_of(open_map(placed), now=NOW)
    rows = {row[0]: row[1:] for row in sheet.totals.rows}
    assert sheet.totals.header == ["Class", "As mapped", "Corrected", "Share", "Estimate",
                                   "90 % interval"]  # fmt: skip
    for name, row in summary["classes"].items():
        share = f"{totals[name] / sum(totals.values()):.1%}".replace("%", " %")
        assert rows[name] == [str(row["buildings"]), str(totals[name]), share, "1,234",
                              "1,100 to 1,403"]  # fmt: skip
    assert rows["not graded"][:2] == ["0", "1"]
    assert [(int(count), name) for count, name, *_ in sheet.headline] == [
        (totals[name], name) for name in reversed(summary["classes"])
    ]
    assert "321 buildings" in sheet.totals.below
    assert "again" not in sheet.totals.below
    assert "blind" not in sheet.totals.below
    (placed / "estimate.json").write_text(json.dumps({**estimate, "checked_blind": 300}))
    below = sheet_of(open_map(placed), now=NOW).totals.below
    assert "Of these, 21 were not checked blind, or nobody says so." in below
    assert "counted in: 2" in sheet.headline_note
    with Corrections(placed) as corrections:
        corrections.set(first + 2, "destroyed", "Ana")
        corrections.set(first + 2, "minor-damage", "Ana")
    assert "make the estimate again" in sheet_of(open_map(placed), now=NOW).totals.below


def test_what_was_not_computed_adds_up_and_says_why(placed):
    summary = json.loads((placed / "summary.json").read_text())
    summary["nodata_px"] = 40_000
    summary["failed_tiles"] = [
        {"row": 0, "column": 0, "height": 100, "width": 100, "reason": "no <memory>"}
    ]
    summary["quality"] = {"masked": True, "px": {**summary["quality"]["px"], "cloud after": 20_000}}
    (placed / "summary.json").write_text(json.dumps(summary))
    sheet = sheet_of(open_map(placed), now=NOW)
    across, down = summary["pixel_m"]
    areas = {row[0]: row[1:] for row in sheet.unknown.rows}

    def of(pixels):
        return f"{pixels * across * down / 1e4:.2f} ha", f"{pixels / 384**2:.1%}".replace("%", " %")

    assert {name: (float(row[0][:-3]), row[1]) for name, row in areas.items()} == {
        name: (pytest.approx(float(of(pixels)[0][:-3]), abs=0.011), of(pixels)[1])
        for name, pixels in {
            "computed": 384**2 - 40_000, "not computed": 40_000, "- windows that failed": 10_000,
            "- no data in the images": 10_000, "- cloud after": 20_000,
        }.items()
    }  # fmt: skip
    assert sheet.warnings[0].startswith("This map is not complete: 1 of 4 windows")
    html = html_of(sheet)
    assert "no &lt;memory&gt;" in html


def test_text_of_any_kind_is_text(placed, browser):
    summary = json.loads((placed / "summary.json").read_text())
    summary["notes"] = [HOSTILE, "x" * 5000, *(f"note {n}" for n in range(20))]
    (placed / "summary.json").write_text(json.dumps(summary))
    html, reader = both(placed, title=HOSTILE)
    found = seen(html)
    assert "script" not in found.tags
    assert "\u202e" not in html
    assert "</style><script>" in "".join(found.words)
    assert len(reader.pages) == 2
    text = pdf_text(reader)
    assert "Köyceğiz" in text
    assert "Дніпро" in text
    assert "and 14 more, in summary.json" in text
    out = placed / "sheet.html"
    out.write_text(html)
    page, asked, told = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.goto(out.as_uri())
    assert page.title().startswith("</style><script>")
    shown_images = "[...document.images].every(each => each.naturalWidth > 100)"
    assert page.evaluate(shown_images)
    assert [each for each in asked if not each.startswith(("file:", "data:"))] == []
    assert told == []
    pages = pypdf.PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    assert len(pages.pages) == 2
    page.close()


def test_a_character_without_a_picture_is_never_blank():
    assert shown("Дніпро 東") == "Дніпро \\u6771"


def test_a_picture_without_a_place_has_a_sheet_without_metres(picture):
    html, reader = both(picture)
    text = pdf_text(reader)
    assert "a picture without coordinates" in text
    assert "147,456 px" in text
    for word in ("ha ", "Where the most damage is", "500 m", "° N"):
        assert word not in text
    assert "polygon" not in seen(html).tags


def test_a_picture_needs_no_geographic_library(picture, blocked, tmp_path):
    code = blocked("rasterio", "shapely", "pyogrio") + (
        "from pathlib import Path\nfrom runtime.sheet import write\n"
        f"write(Path({str(picture)!r}), Path('a.html'), Path('a.pdf'))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(root)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_images_that_are_gone_or_others_now_are_not_shown(placed, tmp_path):
    summary = json.loads((placed / "summary.json").read_text())
    other = tmp_path / "pre.png"
    shutil.copy(EXAMPLE / "pre.png", other)
    summary["pre"] = str(other)
    (placed / "summary.json").write_text(json.dumps(summary))
    sheet = sheet_of(open_map(placed), now=NOW)
    assert sheet.pictures.before is None
    assert "no longer where they were" in sheet.picture_note
    old = cv2.cvtColor(cv2.imread(str(placed / "overlay.png")), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(sheet.pictures.damage, old[:384])


def test_dates_are_told_by_the_image_its_label_or_the_person_and_never_made_up(placed, picture):
    before, after = images_of(open_map(placed))
    assert (before.taken, after.taken) == (None, "2018-09-09T17:30:01Z")
    assert [each.taken for each in images_of(open_map(picture))] == [None, None]
    given = images_of(open_map(placed), ("2018-09-01", "2018-09-10T10:00:00+02:00"))
    assert [each.taken for each in given] == ["2018-09-01", "2018-09-10T08:00:00Z"]
    with pytest.raises(ConfigError, match="no date"):
        images_of(open_map(placed), ("yesterday", None))


def test_false_alarms_go_from_the_picture_and_drawn_buildings_come():
    damage = np.zeros((40, 40), np.uint8)
    damage[4:12, 4:12] = 4

    class Said:
        def __init__(self, new_class, ring):
            self.new_class, self.ring = new_class, ring

    false = Said("not-a-building", [(8, 8), (24, 8), (24, 24), (8, 24), (8, 8)])
    drawn = Said("major-damage", [(40, 40), (60, 40), (60, 60), (40, 60), (40, 40)])
    found, gone = corrected(damage, [false, drawn], 2)
    assert set(found[4:12, 4:12].flat) == {0}
    assert gone.any()
    assert (found == 3).sum() == pytest.approx(100, abs=21)
    assert found[25, 25] == 3


def test_altered_files_are_told(placed):
    (placed / "buildings.geojson").write_text("{}")
    (warning,) = sheet_of(open_map(placed), now=NOW).warnings
    assert "buildings.geojson" in warning


def test_north_and_scale_are_those_of_the_ground(placed):
    ground = ground_of(open_map(placed))
    assert min(ground.north, 360 - ground.north) < 1
    width = 384 * ground.pixel_m[0]
    assert ground.bar_m in (1, 2, 5, 10, 20, 50, 100)
    assert ground.bar_share * width == pytest.approx(ground.bar_m)


def test_the_command_writes_both_and_leaves_the_map_alone(placed, command, tmp_path):
    before = {path.name: files.sha256(path) for path in placed.iterdir()}
    done = command(
        "runtime.sheet", placed, "--out", tmp_path / "out", "--taken-before", "2018-09-01"
    )
    assert done.returncode == 0, done.stderr
    assert "2018-09-01 (given by the user)" in (tmp_path / "out" / "sheet.html").read_text()
    assert (tmp_path / "out" / "sheet.pdf").is_file()
    assert {path.name: files.sha256(path) for path in placed.iterdir()} == before


def test_a_folder_without_a_map_is_one_line(error_line, tmp_path):
    assert "no summary.json" in error_line("runtime.sheet", tmp_path)


def test_neither_is_written_where_one_cannot_be(placed, tmp_path, monkeypatch):
    monkeypatch.setattr("runtime.sheet.pdf.pdf_of", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(placed, tmp_path / "a.html", tmp_path / "a.pdf")
    assert not (tmp_path / "a.html").exists()
