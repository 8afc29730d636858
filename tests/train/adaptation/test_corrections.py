"""What a person did to a map is told from what the network predicted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.damage import CLASS_NAMES, IGNORE
from runtime.errors import ConfigError, ImageError
from runtime.source.pair import open_pair
from tests.train.adaptation.conftest import HEIGHT, WIDTH, box, row_of
from train.adaptation.class_names import class_named, is_marked
from train.adaptation.corrections import Correction, find_corrections, summary
from train.adaptation.features import read_features
from train.adaptation.targets import owners

Found = Callable[..., list[Correction]]


@pytest.fixture
def found(rasters: tuple[Path, Path], written_map: Path) -> Iterator[Found]:
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(open_pair(*rasters))

        def find(path: Path, with_map: bool = True) -> list[Correction]:
            original = read_features(written_map, pair) if with_map else None
            return find_corrections(read_features(path, pair), original, HEIGHT, WIDTH)

        yield find


def _mask(corrections: list[Correction]) -> np.ndarray:
    return owners(corrections, 0, 0, WIDTH, np.ones((WIDTH, WIDTH), bool))[:HEIGHT]


def _append(rows: dict, geometry: object, **values: object) -> dict:
    """As a GIS adds a feature: what nobody filled in is null."""
    grown = {}
    for name, column in rows.items():
        value = geometry if name == "geometry" else values.get(name)
        text = column.dtype.kind == "O"
        last = np.array([np.nan if value is None and not text else value], object)
        grown[name] = np.concatenate([column.astype(object), last])
        grown[name] = grown[name] if text else grown[name].astype(np.float64)
    return grown


def test_a_changed_class_is_a_correction_and_the_others_are_not(edited, found, damage) -> None:
    def change(rows: dict) -> None:
        rows["damage"][row_of(rows, 60, 40)] = " Major DAMAGE"

    (one,) = found(edited(change))
    assert (one.damage, one.kind) == (3, "changed")
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[60:74, 40:60] = True
    np.testing.assert_array_equal(_mask([one]) == 1, expected)
    assert not (_mask([one]) < 0).any()


def test_a_changed_number_is_a_correction(edited, found) -> None:
    def change(rows: dict) -> None:
        rows["damage_class"][row_of(rows, 60, 40)] = 4

    assert [each.damage for each in found(edited(change))] == [4]


def test_numbers_and_names_that_were_both_changed_must_agree(edited, found) -> None:
    def change(rows: dict) -> None:
        rows["damage_class"][row_of(rows, 60, 40)] = 4
        rows["damage"][row_of(rows, 60, 40)] = "minor-damage"

    with pytest.raises(ConfigError, match=r"feature \d+: both were changed"):
        found(edited(change))


def test_a_deleted_building_is_ground(edited, found) -> None:
    def change(rows: dict) -> dict:
        gone = row_of(rows, 10, 100)
        return {name: np.delete(column, gone) for name, column in rows.items()}

    (one,) = found(edited(change))
    assert (one.damage, one.kind) == (0, "removed")
    np.testing.assert_array_equal(np.argwhere(_mask([one]) == -1)[[0, -1]], [[10, 100], [29, 117]])


def test_a_drawn_building_is_a_correction_with_and_without_the_map(edited, found) -> None:
    def change(rows: dict) -> dict:
        return _append(rows, box(40, 180, 50, 200), damage="destroyed")

    path = edited(change)
    for with_map in (True, False):
        (one,) = found(path, with_map)
        assert (one.damage, one.kind, one.box) == (4, "drawn", (40, 180, 50, 200))


def test_a_drawn_building_without_a_class_is_refused_by_its_number(edited, found) -> None:
    path = edited(lambda rows: _append(rows, box(40, 180, 50, 200)))
    with pytest.raises(ConfigError, match=r"feature 6: has no class in damage; expected no-damage"):
        found(path)


def test_a_moved_edge_makes_what_was_cut_off_ground(edited, found) -> None:
    def change(rows: dict) -> None:
        rows["geometry"][row_of(rows, 90, 150)] = box(90, 150, 110, 162)

    (one,) = found(edited(change))
    owner = _mask([one])
    assert one.damage == 4
    assert (owner[90:110, 150:162] == 1).all()
    assert (owner[90:110, 162:170] == -1).all()
    assert np.count_nonzero(owner) == 20 * 20


def test_a_building_cut_in_two_is_two_corrections(edited, found) -> None:
    def change(rows: dict) -> dict:
        rows["geometry"][row_of(rows, 90, 150)] = box(90, 150, 110, 159)
        return _append(rows, box(90, 161, 110, 170), damage="no-damage")

    both = found(edited(change))
    assert sorted(each.damage for each in both) == [1, 4]
    assert np.count_nonzero(_mask(both) < 0) == 20 * 2


@pytest.mark.parametrize("name", ["edited.gpkg", "edited.geojson"])
def test_another_crs_and_order_change_nothing(edited, found, name: str) -> None:
    def change(rows: dict) -> dict:
        rows["damage"][row_of(rows, 130, 20)] = "un classified"
        return {key: column[::-1].copy() for key, column in rows.items()}

    (one,) = found(edited(change, crs="EPSG:4326", name=name))
    assert one.damage == IGNORE
    np.testing.assert_array_equal(np.argwhere(_mask([one]))[[0, -1]], [[130, 20], [143, 35]])


def test_an_untouched_map_holds_no_corrections(edited, found) -> None:
    path = edited(lambda rows: None)
    with pytest.raises(ConfigError, match="nothing was corrected"):
        found(path)
    with pytest.raises(ConfigError, match="nothing tells which of its 5 features"):
        found(path, with_map=False)


def test_marked_features_alone_are_truth(edited, found) -> None:
    def change(rows: dict) -> None:
        rows["checked"] = np.array([None, "yes", "", "No", "x"], object)

    one, two = found(edited(change), with_map=False)
    assert {one.kind, two.kind} == {"checked"}
    assert [one.name.split()[-1], two.name.split()[-1]] == ["2", "5"]


def test_the_corrected_class_is_true_whatever_was_predicted(edited, found) -> None:
    def change(rows: dict) -> None:
        rows["corrected"] = np.array(["Destroyed", None, "not a building", " ", ""], object)

    path = edited(change)
    for with_map in (False, True):
        assert [each.damage for each in found(path, with_map)] == [4, 0]


@pytest.mark.parametrize("values", [[True, False] * 2 + [True], [1, 0, 1, 0, 0]])
def test_marks_in_the_column_of_classes_are_refused(edited, found, values: list) -> None:
    def change(rows: dict) -> None:
        rows["corrected"] = np.array(values)

    with pytest.raises(ConfigError, match="in a column named checked"):
        found(edited(change), with_map=False)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("corrected", "collapsed", "feature 3: corrected is 'collapsed', no class; expected"),
        ("corrected", "1", "feature 3: corrected is '1', no class"),
        ("damage", "broken", "feature 3: damage is 'broken', no class"),
        ("checked", "perhaps", "feature 3: checked is 'perhaps'; expected true"),
    ],
)
def test_an_unknown_word_is_refused_by_its_feature(edited, found, column, value, said) -> None:
    def change(rows: dict) -> None:
        rows.setdefault(column, np.full(5, None, object))[2] = value

    with pytest.raises(ConfigError, match=said):
        found(edited(change))


def test_a_correction_outside_of_the_scene_is_refused(edited, found) -> None:
    path = edited(lambda rows: _append(rows, box(-90, 180, -50, 200), damage="destroyed"))
    with pytest.raises(ConfigError, match="feature 6: covers no pixel of the scene of 160x224"):
        found(path)


def test_a_file_of_another_place_is_refused(edited, found) -> None:
    import shapely

    def change(rows: dict) -> None:
        rows["geometry"] = shapely.transform(rows["geometry"], lambda points: points + 9000)

    with pytest.raises(ConfigError, match="none of its 5 polygons lies on the scene"):
        found(edited(change))


def test_two_corrections_of_one_place_must_agree(edited, found) -> None:
    def change(rows: dict) -> dict:
        rows["checked"] = np.array(["yes"] * 5, object)
        again = rows["geometry"][row_of(rows, 60, 40)]
        return _append(rows, again, damage="destroyed", area_px=280, checked="yes")

    with pytest.raises(ConfigError, match=r"feature 6: lies on feature 3 and has another class"):
        found(edited(change), with_map=False)


def test_a_picture_has_no_place_for_corrections(tmp_path: Path, written_map: Path) -> None:
    import cv2

    picture = tmp_path / "pre.png"
    cv2.imwrite(str(picture), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    with open_pair(picture, picture) as pair, pytest.raises(ImageError, match="--label"):
        read_features(written_map, pair)


def test_the_count_is_told_by_way_and_by_class(edited, found) -> None:
    def change(rows: dict) -> dict:
        rows["damage"][row_of(rows, 60, 40)] = "destroyed"
        gone = row_of(rows, 10, 100)
        rows = {name: np.delete(column, gone) for name, column in rows.items()}
        return _append(rows, box(40, 180, 50, 200), damage="destroyed")

    said = summary(found(edited(change)))
    assert said == ("3 corrections (1 changed, 1 drawn, 1 removed): 2 destroyed, 1 not a building")


@given(
    st.sampled_from([*enumerate(CLASS_NAMES), (255, "un-classified"), (0, "not-a-building")]),
    st.sampled_from(["-", "_", " ", ""]),
    st.sampled_from([str.upper, str.lower, str.title]),
)
def test_spelling_does_not_matter(named: tuple[int, str], between: str, case: Callable) -> None:
    value, name = named
    assert class_named(f" {case(name.replace('-', between))} ") == value


@given(st.text(max_size=12))
def test_no_other_word_is_a_class(text: str) -> None:
    plain = "".join(each for each in text.casefold() if each not in " -_\t")
    names = {name.replace("-", "") for name in (*CLASS_NAMES, "un-classified", "not-a-building")}
    assert (class_named(text) is not None) == (plain in names)


@pytest.mark.parametrize(
    ("value", "marked"),
    [(True, True), (np.bool_(False), False), (1, True), (0.0, False), (1.0, True), ("X", True),
     (None, False), (float("nan"), False), ("", False), ("maybe", None), (3, None)],
)  # fmt: skip
def test_a_mark_is_yes_or_no(value: object, marked: bool | None) -> None:
    assert is_marked(value) is marked


@pytest.mark.parametrize("name", ["corrected", "Corrected", "CORRECTED"])
def test_a_column_may_be_written_in_any_case(edited, found, name: str) -> None:
    def name_it(rows: dict) -> None:
        rows["CHECKED"] = np.array(["yes"] * len(rows["damage"]), object)
        rows[name] = np.array(["destroyed"] * len(rows["damage"]), object)

    assert {each.damage for each in found(edited(name_it), with_map=False)} == {4}
