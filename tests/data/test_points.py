"""Points of the user: every kind of file, splits, standardization, and what is said about them."""

import numpy as np
import pandas as pd
import pytest
import torch

from genbench.data.points import points, read
from genbench.errors import ConfigError
from genbench.testing import check_dataset

ROWS = np.random.default_rng(0).normal(size=(300, 3)) * [1, 5, 0.1] + [0, 7, 1]


@pytest.fixture
def write(tmp_path):
    def written(kind, rows=ROWS, label=None):
        path, label = tmp_path / f"points.{kind}", np.arange(len(rows)) % 3 if label is None else label
        table = pd.DataFrame(rows, columns=list("abc")[: rows.shape[1]]).assign(label=label)
        if kind == "npy":
            np.save(path, rows)
        elif kind == "npz":
            np.savez(path, samples=rows, label=label)
        elif kind == "csv":
            table.to_csv(path, index=False)
        else:
            pytest.importorskip("pyarrow")
            table.to_parquet(path)
        return str(path)

    return written


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_kind_of_file_gives_the_same_splits(write, kind):
    found, other = points(path=write(kind)), points(path=write("npz"))
    assert (found.event.shape, found.event.classes) == ((3,), 3)
    for split, n in (("train", 210), ("valid", 30), ("test", 60)):
        one, same = getattr(found, split).take(n, 0), getattr(other, split).take(n, 0)
        torch.testing.assert_close(one.x, same.x)
        torch.testing.assert_close(one.label, same.label)
        assert one.label.bincount().tolist() == [n // 3] * 3


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8"), (", ", "utf-8"), (",", "utf-8-sig")])
def test_a_csv_without_a_header_keeps_its_first_row(tmp_path, delimiter, encoding):
    np.savetxt(tmp_path / "plain.csv", ROWS, delimiter=delimiter, encoding=encoding)
    np.save(tmp_path / "points.npy", ROWS)
    found, other = points(path=str(tmp_path / "plain.csv")), points(path=str(tmp_path / "points.npy"))
    for split, n in (("train", 210), ("valid", 30), ("test", 60)):
        torch.testing.assert_close(getattr(found, split).take(n, 0).x, getattr(other, split).take(n, 0).x)


def test_training_rows_are_standardized_and_decode_to_the_file(write):
    data = points(path=write("npy"))
    assert data.event.classes == 0
    x = data.train.take(210, 0).x
    torch.testing.assert_close(x.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(3), atol=1e-5, rtol=0)
    decoded = torch.cat([data.space.decode(getattr(data, s).take(n, 0).x) for s, n in (("train", 210), ("test", 60))])
    distance = torch.cdist(decoded.double(), torch.from_numpy(ROWS))
    assert float(distance.min(1).values.max()) < 1e-5
    assert points(path=write("npy", ROWS + 1)).provenance["sha256"] != data.provenance["sha256"]


def test_the_density_in_the_units_of_the_file(write):
    """A Gaussian in model space, scaled: its density in raw units is that of the scaled Gaussian."""
    space = points(path=write("npy")).space
    x = torch.randn(50, 3, dtype=torch.float64)
    scaled = torch.distributions.Normal(torch.tensor(space.mean).double(), torch.tensor(space.std).double())
    raw = x * torch.tensor(space.std).double() + torch.tensor(space.mean).double()
    model = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    torch.testing.assert_close(model - 3 * space.log_scale, scaled.log_prob(raw).sum(1))


def test_it_conforms_and_what_was_read_is_said_in_one_line(write, tmp_path):
    assert check_dataset("points", {"path": write("csv")})
    said = "points.csv: 300 rows, 3 coordinates (a, b, c), 3 classes (0, 1, 2); 210 train, 30 validation, 60 test"
    assert points(path=write("csv")).remarks[0] == said
    rows = np.random.default_rng(1).normal(size=(700, 3))
    said = "points.npy: 700 rows, 3 coordinates, no classes; 490 train, 70 validation, 140 test"
    assert points(path=write("npy", rows)).remarks == (said,)
    np.savetxt(tmp_path / "plain.csv", rows, delimiter=",")
    assert points(path=str(tmp_path / "plain.csv")).remarks[0].startswith("plain.csv: 700 rows without a header, 3 ")


def test_what_makes_numbers_uncertain_is_said(write):
    rows = np.random.default_rng(1).normal(size=(300, 3))
    data = points(path=write("npy", np.concatenate([rows, rows])))
    train, test = ([x.numpy().tobytes() for x in split.take(split.size, 0).x] for split in (data.train, data.test))
    repeated = sum(x in set(train) for x in test)
    assert data.remarks[1:] == (
        f"points.npy: {repeated} test rows are also training rows: values favor models that memorize",
    )
    with pytest.raises(ConfigError, match="leave 2 of 2 rows for training and 0 for testing: change these shares"):
        points(path=write("npy", ROWS[:2]))
    with pytest.raises(ConfigError, match=r"class '1' has too few samples \(3\), of which none would be in train"):
        points(path=write("npz", label=(np.arange(300) % 100 == 1).astype(int)), valid=0.4, test=0.5)
    with pytest.raises(ConfigError, match=r"valid=0.9 and test=0.2 leave no training rows: lower them"):
        points(path=write("npy"), valid=0.9, test=0.2)
    with pytest.raises(ConfigError, match="does not exist or is not a file"):
        points(path="points\0.csv")


@pytest.mark.parametrize("value", [5.0, 0.1, 123.456])
def test_a_constant_column_is_refused_only_where_it_would_be_divided_by(write, value):
    """NumPy's standard deviation of 777 numbers 0.1 is not 0."""
    rows = np.random.default_rng(1).normal(size=(777, 3))
    rows[:, 1] = value
    said = "column 2 is constant in the training rows"
    assert f"points.npy: {said}" in points(path=write("npy", rows), standardize=False).remarks
    with pytest.raises(ConfigError, match=f"{said}: remove it"):
        points(path=write("npy", rows))


LINES = "".join(f"{i * 0.37 % 1:.4f},{i * 0.61 % 1:.4f}\n" for i in range(40))
LABELED = "".join(f"{i * 0.37 % 1:.4f},{i % 2}\n" for i in range(40))
COUNTED = "".join(f"{i},{i * 0.61 % 1:.4f}\n" for i in range(40))

WRONG = {
    "empty": ("", "cannot be read as .csv"),
    "no rows": ("a,b\n", r"this is \(0, 2\)"),
    "open quote": ('a,b\n"1,2\n', "points"),
    "words": ("a,b\n1,2\n1,x y\n", "row 2, column b: 'x y' is not a number"),
    "decimal comma": ('a,b\n1,2\n1,"0,5"\n', "row 2, column b: '0,5' is not a number"),
    "true and false": ("a,b\n1,True\n1,False\n", "column b holds values of type bool: convert them"),
    "dates": ("a,b\n1,2020-01-01\n2,2020-01-02\n", "row 1, column b: '2020-01-01' is not a number"),
    "missing": ("a,b\n" + "1,2\n" * 20 + "1,\n", "row 21, column b: the value is missing"),
    "short row": ("a,b\n" + "1,2\n" * 20 + "1\n", "row 21, column b: the value is missing"),
    "missing, no header": (LINES + "1,nan\n", "row 41, column 2: the value is missing"),
    "above float32": ("a,b\n" + LINES + "1e39,1\n", r"row 41, column a: 1e\+39 is not a finite number"),
    "largest float64": ("a,b\n" + LINES + "1,1e308\n", r"row 41, column b: 1e\+308 is not a finite number"),
    "above float64": ("a,b\n" + LINES + "1,1e400\n", "row 41, column b: inf is not a finite number"),
    "square above float32": ("a,b\n" + LINES + "1,1e20\n", r"column b holds 1e\+20, and squared distances overflow"),
    "square below float32": ("a,b\n1,1e-30\n2,2e-30\n", "column b varies by 5e-31, whose square vanishes"),
    "offset": (
        "a,b\n" + "".join(f"{i},{10**8 + i % 3}\n" for i in range(50)),
        r"column b varies by 0.81 around 1e\+08",
    ),
    "semicolons": ("x;y\n" + "0,5;1,5\n" * 20, "values are separated by semicolons: write commas"),
    "semicolons, no header": ("0,5;1,5\n" * 20, "values are separated by semicolons"),
    "tabs": (("a,b\n" + LINES).replace(",", "\t"), "values are separated by tabs"),
    "bars": (("a,b\n" + LINES).replace(",", "|"), "values are separated by bars"),
    "blanks": (LINES.replace(",", " "), "values are separated by blanks"),
    "more values than names": ("x\n" + "1,2\n" * 20, "more values than the header has names"),
    "header counts": ("0,1\n" + LINES, "the first line, 0,1, holds values or column numbers"),
    "index without a name": (",a\n" + COUNTED, r"column 1 has no name: if it is an index, .*index=False"),
    "index of shuffled rows": (",a\n" + "".join(COUNTED.splitlines(True)[::-1]), "column 1 has no name"),
    "index written twice": ("Unnamed: 0,a\n" + COUNTED, "column 1 has no name"),
    "index called so": ("Index,a\n" + COUNTED, r"column Index counts the rows: .*index=False"),
    "index in the last column": (
        "a,row\n" + "".join(f"{i * 0.61 % 1:.4f},{i}\n" for i in range(40)),
        "column row counts",
    ),
    "index from 1": ("id,a\n" + COUNTED[7:], "column id counts the rows"),
    "index, no header": (COUNTED, "column 1 counts the rows"),
    "comma at the end of lines": ("a,b,\n" + LINES.replace("\n", ",\n"), "column 3 has no name"),
    "no class": ("a,label\n" + "1,x\n2,x\n" * 10 + "1,\n", "row 21 has no label"),
    "two labels": ("label,a,Label\n" + "1,2,3\n" * 20, "more than one column is called label"),
    "blanks around label": ("a, Label\n" + LABELED, "the name label has blanks or signs around it"),
    "a blank after label": ("a,label \n" + LABELED, "the name label has blanks or signs around it"),
    "one name twice": ("a,b,a\n" + LINES.replace("\n", ",0.5\n"), "several columns are called a: rename all but one"),
    "a commented header": ("# label,a\n" + LINES, "the name label has blanks or signs around it"),
    "Latin-1": ("gr\udcf6sse,b\n" + LINES, "is not UTF-8 text: save it as UTF-8"),
    "only labels": ("label\n1\n2\n", "points must be rows of real numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_table_that_is_wrong_is_refused_in_one_line(tmp_path, name):
    text, message = WRONG[name]
    (tmp_path / "points.csv").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match=message) as refused:
        read(tmp_path / "points.csv")
    assert "\n" not in str(refused.value).strip()


@pytest.mark.parametrize("name", ["label", "Label", "LABEL"])
@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_a_label_is_one_in_any_case(tmp_path, name, kind):
    path, x, label = tmp_path / f"points.{kind}", np.linspace(0, 1, 20), np.arange(20) % 2
    if kind == "npz":
        np.savez(path, samples=x[:, None], **{name: label})
    else:
        getattr(pd.DataFrame({"a": x, name: label}), f"to_{kind}")(path, **({"index": False} if kind == "csv" else {}))
    found = read(path)
    assert (found.values.shape, found.label.tolist(), found.classes) == ((20, 1), label.tolist(), ("0", "1"))


@pytest.mark.parametrize("name", ["target", "Targets", "CLASS", "labels", "y", "Y"])
def test_a_column_that_may_be_a_label_is_asked_about(tmp_path, name):
    (tmp_path / "points.csv").write_text(f"a,{name}\n{LABELED}")
    with pytest.raises(ConfigError, match=f"call {name} label if it holds classes; a coordinate needs another name"):
        read(tmp_path / "points.csv")


@pytest.mark.parametrize("header", ["x,y", "X,Y", "sepal length,petal length", "P(a|b),b", "t,id", "a,index"])
def test_what_can_be_told_is_read(tmp_path, header):
    (tmp_path / "points.csv").write_text(f"\n{header}\n{LINES}")
    found = read(tmp_path / "points.csv")
    assert ",".join(found.names) == header
    assert found.classes is None
    np.testing.assert_array_equal(found.values, np.loadtxt(LINES.splitlines(), delimiter=",", dtype=np.float32))


@pytest.mark.parametrize(
    ("header", "names"),
    [('"x","y"', ("x", "y")), ('"a,b","c"', ("a,b", "c")), ("# x,y", ("# x", "y")), ('"0.5","0.25"', ())],
)
def test_names_in_quotes_and_after_a_sign_are_read(tmp_path, header, names):
    """As R, csv.QUOTE_ALL and numpy.savetxt write them; numbers in quotes are a row."""
    (tmp_path / "points.csv").write_text(f"{header}\n{LINES}")
    found = read(tmp_path / "points.csv")
    assert (found.names, len(found.values)) == (names, 40 if names else 41)
    (tmp_path / "points.csv").write_text('"a","b","label"\n' + '"0.5","1.5","x"\n"0.25","2.5","y"\n' * 20)
    found = read(tmp_path / "points.csv")
    assert (found.names, found.classes, found.values.shape) == (("a", "b"), ("x", "y"), (40, 2))


def test_parquet_that_unpacks_to_more_than_the_memory_is_refused_by_its_metadata(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = tmp_path / "bomb.parquet"
    pd.DataFrame({"x": np.zeros(100_000), "y": np.zeros(100_000)}).to_parquet(path)
    monkeypatch.setattr("genbench.storage.memory.total", lambda: 8.0 * path.stat().st_size)
    with pytest.raises(ConfigError, match="memory"):
        read(path)


def test_a_table_of_more_than_the_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "points.csv"
    path.write_text(LINES)
    monkeypatch.setattr("genbench.storage.memory.total", lambda: 3.0 * path.stat().st_size)
    with pytest.raises(ConfigError, match=r"points\.csv needs at least .* of memory"):
        read(path)


def test_classes_are_the_texts_of_the_file_and_numbers_are_in_order(tmp_path):
    def read_labels(names):
        rows = "".join(f"{i * 0.1},{names[i % len(names)]}\n" for i in range(60))
        (tmp_path / "points.csv").write_text(f"a,label\n{rows}")
        return read(tmp_path / "points.csv")

    assert read_labels(["01", "1", "NA"]).classes == ("01", "1", "NA")
    assert read_labels(["10", "9"]).classes == ("9", "10")
    assert read_labels(["10", "9"]).label[:3].tolist() == [1, 0, 1]


@pytest.mark.parametrize("nothing", [None, float("nan"), pd.NA, ""])
def test_a_missing_class_in_parquet_is_no_class(tmp_path, nothing):
    pytest.importorskip("pyarrow")
    label = pd.Series(["x", "y", nothing] * 20, dtype=object)
    pd.DataFrame({"a": np.arange(60.0), "label": label}).to_parquet(tmp_path / "points.parquet")
    with pytest.raises(ConfigError, match="row 3 has no label"):
        read(tmp_path / "points.parquet")


ODD = {
    "labels of lists": ({"a": np.arange(60.0), "label": [[1], [2]] * 30}, None),
    "labels of bytes": ({"a": np.arange(60.0), "label": [b"\xff", b"x"] * 30}, None),
    "notes of pandas name no column": ({"a": np.arange(60.0)}, b'{"index_columns": ["b"], "columns": []}'),
    "two columns have one name": (["a", "a"], None),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_parquet_is_refused_in_one_line(tmp_path, name):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns, notes = ODD[name]
    made = columns if isinstance(columns, dict) else [np.arange(60.0) for _ in columns]
    table = arrow.table(made, names=None if isinstance(columns, dict) else columns)
    table = table.replace_schema_metadata({} if notes is None else {b"pandas": notes})
    parquet.write_table(table, tmp_path / "points.parquet")
    with pytest.raises(ConfigError, match=r"points\.parquet cannot be read as \.parquet: [^\n]*$"):
        read(tmp_path / "points.parquet")
