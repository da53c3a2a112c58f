"""Points of the user: every kind of file, splits, standardization, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

from genbench.data.points import points
from genbench.errors import ConfigError
from genbench.testing import check_dataset

ROWS = np.random.default_rng(0).normal(size=(300, 3)) * [1, 5, 0.1] + [0, 7, 1]
LABEL = np.arange(300) % 3


@pytest.fixture
def write(tmp_path):
    def written(kind, rows=ROWS, label=LABEL):
        path = tmp_path / f"points.{kind}"
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


@pytest.mark.parametrize("kind", ["npz", "csv", "parquet"])
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


def test_parquet_that_unpacks_to_more_than_the_memory_is_refused_by_its_metadata(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = tmp_path / "bomb.parquet"
    pd.DataFrame({"x": np.zeros(100_000), "y": np.zeros(100_000)}).to_parquet(path)
    monkeypatch.setattr("genbench.storage.memory.total", lambda: 8.0 * path.stat().st_size)
    with pytest.raises(ConfigError, match="memory"):
        points(path=str(path))


def test_training_rows_are_standardized_and_decode_to_the_file(write):
    data = points(path=write("npy"))
    assert data.event.classes == 0
    x = data.train.take(210, 0).x
    torch.testing.assert_close(x.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(3), atol=1e-5, rtol=0)
    decoded = torch.cat([data.space.decode(getattr(data, s).take(n, 0).x) for s, n in (("train", 210), ("test", 60))])
    distance = torch.cdist(decoded.double(), torch.from_numpy(ROWS))
    assert float(distance.min(1).values.max()) < 1e-5


def test_the_density_in_the_units_of_the_file(write):
    """A Gaussian in model space, scaled: its density in raw units is that of the scaled Gaussian."""
    space = points(path=write("npy")).space
    x = torch.randn(50, 3, dtype=torch.float64)
    scaled = torch.distributions.Normal(torch.tensor(space.mean).double(), torch.tensor(space.std).double())
    raw = x * torch.tensor(space.std).double() + torch.tensor(space.mean).double()
    model = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    torch.testing.assert_close(model - 3 * space.log_scale, scaled.log_prob(raw).sum(1))


def test_it_conforms(write):
    assert check_dataset("points", {"path": write("csv")})


def test_other_content_is_another_data_set(write):
    first = points(path=write("npy")).provenance["sha256"]
    assert points(path=write("npy", ROWS + 1)).provenance["sha256"] != first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,x\n2,y\n", "column b holds no numbers"),
        ("a,b\n" + "1,2\n" * 20 + "1,\n", "row 21 holds a value that is missing"),
        ("a,b\n1,2\n3,4\n", "2 rows are too few"),
        ("a,b\n" + "".join(f"{i},5\n" for i in range(50)), "column 2 is constant"),
        ("", "cannot be read as .csv"),
        ('a,b\n"1,2\n', "points"),
        ("x\n" + "1,2\n" * 20, "more values than the header has names"),
        ("x;y\n" + "0,5;1,5\n" * 20, "more values than the header has names"),
        ("a,b\n" + "1,2\n" * 20 + "1e39,1\n", "row 21 holds a value that is missing, or no finite float32"),
        ("a,b\n" + "".join(f"{i},{10**8 + i % 3}\n" for i in range(50)), "column 2 varies by 0.81 around 1e.08"),
        ("a,label\n" + "1,x\n2,x\n" * 10 + "1,\n", "row 21 has no label"),
        ("a,label,label\n" + "1,x,y\n" * 20, "more than one column is called label"),
        ("a, label\n" + "".join(f"{i}, {i % 2}\n" for i in range(60)), "blanks around the name label"),
        pytest.param("x" + ",x" * 300_000 + "\n1" + ",1" * 300_000, "names of columns are repeated", id="repeated"),
    ],
)
def test_a_table_that_is_wrong_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "points.csv").write_text(text)
    with pytest.raises(ConfigError, match=message) as refused:
        points(path=str(tmp_path / "points.csv"))
    assert "\n" not in str(refused.value).strip()


def test_classes_are_the_texts_of_the_file_and_numbers_are_in_order(tmp_path):
    def classes(names):
        rows = "".join(f"{i * 0.1},{names[i % len(names)]}\n" for i in range(60))
        (tmp_path / "points.csv").write_text(f"a,label\n{rows}")
        data = points(path=str(tmp_path / "points.csv"))
        x, label = data.train.take(data.train.size, 0)
        index = (data.space.decode(x)[:, 0] * 10).round().long()
        return data.event.classes, [names[i % len(names)] for i in index[label == 0].tolist()]

    assert classes(["01", "1", "NA"])[0] == 3
    number, first = classes(["10", "9"])
    assert number == 2
    assert set(first) == {"9"}


@pytest.mark.parametrize("nothing", [None, float("nan"), pd.NA, ""])
def test_a_missing_class_in_parquet_is_no_class(tmp_path, nothing):
    pytest.importorskip("pyarrow")
    label = pd.Series(["x", "y", nothing] * 20, dtype=object)
    pd.DataFrame({"a": np.arange(60.0), "label": label}).to_parquet(tmp_path / "points.parquet")
    with pytest.raises(ConfigError, match="row 3 has no label"):
        points(path=str(tmp_path / "points.parquet"))


ODD = {
    "labels of lists": ({"a": np.arange(60.0), "label": [[1], [2]] * 30}, None),
    "labels of bytes": ({"a": np.arange(60.0), "label": [b"\xff", b"x"] * 30}, None),
    "notes of pandas are a list": ({"a": np.arange(60.0)}, b"[]"),
    "notes of pandas lack names": ({"a": np.arange(60.0)}, b'{"columns": []}'),
    "notes of pandas name no column": ({"a": np.arange(60.0)}, b'{"index_columns": ["b"], "columns": []}'),
    "notes of pandas are deep": ({"a": np.arange(60.0)}, b"[" * 100_000),
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
        points(path=str(tmp_path / "points.parquet"))
