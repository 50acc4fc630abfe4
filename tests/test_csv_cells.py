import numpy as np
import pytest

from training.csv_cells import read_cells, read_number, read_numbers, read_run_ids

GOOD = "run_id,x\na,1.5\n b ,2\n"


@pytest.fixture
def write(tmp_path):
    def run(content):
        path = tmp_path / "runs.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return run


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n"),
        '"run_id"," x "\n"a","1.5"\n"b",2',
    ],
)
def test_the_usual_ways_to_write_a_table_are_one(write, content):
    path = write(content)
    frame = read_cells(path)
    assert frame.columns == ["run_id", "x"]
    names = read_run_ids(path, frame)
    assert names == ("a", "b")
    found = read_numbers(path, frame, ["x"], names, what="loss")
    np.testing.assert_array_equal(found, [[1.5], [2.0]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.encode("utf-16"), "byte 0 is not UTF-8; save it as UTF-8"),
        ("run_id,wörter\na,1\n".encode("latin-1"), "byte 8 is not UTF-8"),
        (GOOD.replace(",", ";"), "semicolons separate the columns of the header"),
        (GOOD.replace(",", "\t"), "tabs separate the columns"),
        ("", "not a readable CSV file"),
        ("\n\n", "not a readable CSV file"),
        ("run_id,x\n", "no rows below the header"),
        ("run_id,x,x\na,1,2\n", "column x occurs twice in the header"),
        ("run_id,x, x\na,1,2\n", "column x occurs twice in the header"),
        (GOOD + "c,1,2,3\n", "not a readable CSV file: found more fields"),
    ],
)
def test_whatever_is_not_plainly_such_a_table_is_refused(write, content, message):
    with pytest.raises(ValueError, match=message):
        read_cells(write(content))


def test_names_differ_without_the_blanks_around_them(write):
    path = write("run_id,x\na,1\n a,2\n")
    with pytest.raises(
        ValueError, match=r"rows 1 and 2 \(lines 2 and 3\), column run_id: a occurs"
    ):
        read_run_ids(path, read_cells(path))


@pytest.mark.parametrize(("text", "number"), [(" 2.5 ", 2.5), ("-1e-3", -1e-3), ("+.5", 0.5)])
def test_numbers(text, number):
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *((text, "must be a number") for text in ("2_5", "2,5", "٢", "7B", "1e", "0x1", "")),
        *((text, "must be finite") for text in ("nan", "-Inf", "infinity", "1e400")),
    ],
)
def test_what_is_no_finite_number(text, message):
    with pytest.raises(ValueError, match=message):
        read_number(text)
