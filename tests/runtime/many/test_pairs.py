import os
from pathlib import Path

import pytest

from runtime.errors import ConfigError
from runtime.many.pairs import MOST_BYTES, Pair, find_pairs, name_and_role, not_taken


@pytest.fixture
def listed(tmp_path):
    """The pairs of a CSV file with this text."""

    def read(text: str | bytes):
        path = tmp_path / "pairs.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return find_pairs(path)

    return read


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("santa-rosa_00000012_pre_disaster.png", ("santa-rosa_00000012", "pre")),
        ("santa-rosa_00000012_post_disaster.tif", ("santa-rosa_00000012", "post")),
        ("a_pre.JPG", ("a", "pre")),
        ("a_post.jpeg", ("a", "post")),
        ("a_pre_post.tiff", ("a_pre", "post")),
        ("a_pre.png.partial", None),
        ("a_pre.png.tmp", None),
        (".a_pre.png", None),
        ("_pre.png", None),
        ("a_pre_disaster_target.png", None),
        ("a.png", None),
        ("a_pre.gif", None),
    ],
)
def test_a_file_name_says_which_image_of_which_pair(file, expected):
    assert name_and_role(file) == expected


def test_csv_paths_are_relative_to_the_file_and_names_have_a_default(listed, tmp_path):
    pairs = listed(
        "pre,post,name\n"
        "a_pre_disaster.png,a_post_disaster.png,\n"
        "in/first.tif,in/second.tif,\n"
        "/x/p.png,/x/q.png,town 7\n"
    )
    assert pairs == [
        Pair("a", tmp_path / "a_pre_disaster.png", tmp_path / "a_post_disaster.png"),
        Pair("first", tmp_path / "in/first.tif", tmp_path / "in/second.tif"),
        Pair("town 7", tmp_path.__class__("/x/p.png"), tmp_path.__class__("/x/q.png")),
    ]


def test_csv_of_a_spreadsheet_and_other_columns_are_read(listed):
    pairs = listed('\ufeffid,post,pre\r\n7,"b, after.png",b_pre.png\r\n\r\n')
    assert [(each.name, each.post.name) for each in pairs] == [("b", "b, after.png")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pre,name\na,b\n", "pairs.csv: no column post in the header 'pre,name'; expected pre,"),
        ("pre;post\na;b\n", "no column post and no column pre in the header 'pre;post'"),
        ("pre,post\na.png,\n", "line 2 has no post"),
        ("pre,post\na.png,b.png,c.png\n", "line 2 has more values than the header has names"),
        ("pre,post\na.png\n", "line 2 has no post"),
        ("pre,post\n", "names no pair"),
        ("", "names no pair"),
        ("pre,post\nx/a.png,b.png\ny/a.png,c.png\n", "two pairs are named a: "),
        ("pre,post,name\na,b,n\nc,d,N\n", "two pairs are named n and N: "),
        ("pre,post,post\na,b,c\n", "the header has the column post twice"),
        ("pre,post\na.png,./a.png\n", "pair a has one file as both images, "),
        ("pre,post\nx/../a.png,a.png\n", "pair a has one file as both images, "),
        ("pre,post,name\na,b,c\na,b,d\n", "the pairs c and d are the same two images, "),
        ("pre,post,name\na,b,Failed.CSV\n", "a pair is named 'Failed.CSV'"),
        ("pre,post,name\na,b,../c\n", "a pair is named '../c'"),
        ("pre,post,name\na,b,.working\n", "a pair is named '.working'"),
        ("pre,post,name\na,b,failed.csv\n", "a pair is named 'failed.csv'"),
        ('pre,post\n"a,b\n', "not a CSV file in UTF-8"),
        (b"pre,post\n\xe4_pre.png,b\n", "not a CSV file in UTF-8"),
    ],
)
def test_a_csv_that_cannot_be_meant_is_refused(listed, text, message):
    with pytest.raises(ConfigError, match=message.replace("(", "\\(")):
        listed(text)


def test_an_xbd_folder_gives_its_pairs_with_and_without_splits(tmp_path):
    for name in (
        "tier3/images/b_pre_disaster.png",
        "tier3/images/b_post_disaster.png",
        "images/a_pre_disaster.png",
        "images/a_post_disaster.png",
        "images/notes.txt",
        "targets/a_pre_disaster.png",
        "images/only-pre_pre_disaster.png",
        "images/only-post_post_disaster.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    pairs = {each.name: each for each in find_pairs(tmp_path)}
    assert set(pairs) == {"a", "b", "only-pre", "only-post"}
    assert pairs["b"].pre == tmp_path / "tier3/images/b_pre_disaster.png"
    assert pairs["b"].post == tmp_path / "tier3/images/b_post_disaster.png"
    # The missing image is named where it should be; mapping the pair says that it is not.
    assert pairs["only-pre"].post == tmp_path / "images/only-pre_post_disaster.png"
    assert pairs["only-post"].pre == tmp_path / "images/only-post_pre_disaster.png"


def test_a_folder_without_pairs_and_a_path_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no images/.*expected an xBD folder with images/"):
        find_pairs(tmp_path)
    with pytest.raises(ConfigError, match=r"none\.csv: does not exist; expected a CSV file or an"):
        find_pairs(tmp_path / "none.csv")


def test_one_name_in_two_splits_is_refused(tmp_path):
    for split in ("test", "train"):
        (tmp_path / split / "images").mkdir(parents=True)
        (tmp_path / split / "images" / "a_pre_disaster.png").touch()
    with pytest.raises(ConfigError, match="two pairs are named a"):
        find_pairs(tmp_path)


def test_one_file_under_two_names_is_no_pair(listed, tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").hardlink_to(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="has one file as both images"):
        listed("pre,post\na.png,b.png\n")
    assert len(listed("pre,post,name\na.png,c.png,one\na.png,d.png,two\n")) == 2  # a series


def test_an_xbd_folder_pairs_any_case_and_ending_and_names_what_it_leaves(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in (
        "a_PRE_Disaster.PNG",
        "a_post_disaster.tif",
        "a_post_disaster.tfw",
        "b_POST_DISASTER.TIF",
        "c_during_disaster.png",
        "c_pre_disaster.tfw",
        ".hidden",
    ):
        (images / name).touch()
    (images / "more").mkdir()
    pairs = {each.name: each for each in find_pairs(tmp_path)}
    assert set(pairs) == {"a", "b"}
    assert (pairs["a"].pre.name, pairs["a"].post.name) == (
        "a_PRE_Disaster.PNG",
        "a_post_disaster.tif",
    )
    assert pairs["b"].pre.name == "b_PRE_DISASTER.TIF"
    left = [each.name for each in not_taken(tmp_path)]
    assert left == ["c_during_disaster.png", "c_pre_disaster.tfw", "more"]


def test_two_images_of_one_role_in_an_xbd_folder_are_refused(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a_pre_disaster.png", "a_pre_disaster.tif", "a_post_disaster.png"):
        (tmp_path / "images" / name).touch()
    with pytest.raises(ConfigError, match=r"disaster\.tif: a_pre_disaster\.png is there, too"):
        find_pairs(tmp_path)


def test_a_list_without_end_is_refused_unread(tmp_path):
    with pytest.raises(ConfigError, match="/dev/zero: is a device or a pipe; expected a CSV file"):
        find_pairs(Path("/dev/zero"))
    with (tmp_path / "a.csv").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ConfigError, match=f"bytes; expected at most {MOST_BYTES}"):
        find_pairs(tmp_path / "a.csv")


def test_links_in_a_circle_stop_no_list(listed, tmp_path):
    (tmp_path / "a_pre.png").symlink_to("a_pre.png")
    pairs = listed("pre,post\na_pre.png,a_post.png\nb_pre.png,b_post.png\n")
    assert [each.name for each in pairs] == ["a", "b"]


def test_a_zero_byte_is_refused_with_its_line(listed):
    expected = r"pairs\.csv: (line 3 has a zero byte in post|not a CSV file in UTF-8 \(line cont)"
    with pytest.raises(ConfigError, match=expected):
        listed("pre,post\na,b\nc,d\0\n")


def test_a_path_that_is_not_utf8_is_refused_and_named(tmp_path):
    images = tmp_path / os.fsdecode(b"town\xff") / "images"
    images.mkdir(parents=True)
    (images / "a_pre_disaster.png").touch()
    with pytest.raises(ConfigError, match=r"town\\udcff/images/a_pre_.*: its name is not UTF-8"):
        find_pairs(images.parent)
