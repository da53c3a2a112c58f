"""Points of the user: every kind of file, splits, standardization, and what is said about them."""

import numpy as np
import pandas as pd
import pytest
import torch

from genbench.data.points import points
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


def labeled(sizes):
    rng = np.random.default_rng(1)
    return {"rows": rng.normal(size=(sum(sizes), 3)), "label": np.repeat(np.arange(len(sizes)), sizes)}


def test_what_was_read_is_said_in_one_line(write, tmp_path):
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
    rows[:, 1] = 5
    assert (
        "points.npy: column 2 is constant in the training rows"
        in points(path=write("npy", rows), standardize=False).remarks
    )
    with pytest.raises(ConfigError, match="column 2 is constant in the training rows: remove it"):
        points(path=write("npy", rows))


def test_too_few_rows_are_refused(write):
    with pytest.raises(ConfigError, match="2 rows are too few"):
        points(path=write("npy", ROWS[:2]))
