"""Users see the names of their files; a hash only where two things share a name."""

import re

import pytest

from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.results.names import meant, metric_names, named, typed_name


def record(model="cfm", data="moons", path=None, content=None):
    label = f"{data} file={content[:8]}" if content else data
    of_file = {"name": data.partition(" ")[0], "version": 1} | ({"path": path} if path else {})
    spec = {"model": {"name": model.partition(" ")[0]}, "data": of_file}
    return {"labels": {"model": model, "data": label}, "spec": spec}


def labels(*records, beside=()):
    return [tuple(each["labels"].values()) for each in named(records, beside)]


A, B = "a" * 64, "b" * 64


def test_files_are_called_as_the_user_calls_them_with_their_settings():
    mine = record("mine@1f2e3d4c kappa=2", "points valid=0.2", "/mine/people.csv", A)
    assert labels(mine, record()) == [("mine kappa=2", "people valid=0.2"), ("cfm", "moons")]


def test_versions_of_a_file_keep_their_hashes():
    two = [record("mine@1f2e3d4c", "points", "x/people.csv", A), record("mine@00000000", "points", "people.csv", B)]
    assert labels(*two) == [("mine@1f2e3d4c", "people file=aaaaaaaa"), ("mine@00000000", "people file=bbbbbbbb")]
    assert labels(two[0], beside=two[1:]) == [("mine@1f2e3d4c", "people file=aaaaaaaa")]


def test_a_file_with_the_name_of_a_component_of_genbench_keeps_its_hash():
    found = labels(record("cfm@1f2e3d4c", "points", "moons.csv", A))
    assert found == [("cfm@1f2e3d4c", "moons file=aaaaaaaa")]
    # No table shows a data set "points" of genbench itself.
    assert labels(record("cfm", "points", "points.csv", A)) == [("cfm", "points")]


def test_the_same_content_under_one_name_is_one_data_set():
    assert len({*labels(record("cfm", "points", "a/b.csv", A), record("cfm", "points", "c/b.csv", A))}) == 1


def test_metrics_of_files_lose_their_hash_where_it_says_nothing():
    assert metric_names(["odd@1f2e3d4c.part", "w2"]) == {"odd@1f2e3d4c.part": "odd.part", "w2": "w2"}
    assert [*metric_names(["odd@1f2e3d4c", "odd@00000000"]).values()] == ["odd@1f2e3d4c", "odd@00000000"]


@pytest.mark.parametrize(
    "typed",
    [
        "cfm",
        "mine@1f2e3d4c",
        "ours+reg",
        "wcfm kappa=0.5",
        "cifar10 images=f0c7f7bd",
        "points file=35e89469",
        "~nosuchuser",
        "~nosuchuser/mine.py",
    ],
)
def test_names_that_are_no_files_mean_themselves(typed):
    assert (typed_name(typed), typed_name(typed, datasets)) == (typed, typed)


def test_a_file_means_its_present_content_and_a_name_any_content(tmp_path):
    """After an edit, results of both contents have the hash in their names, and nothing said which one was meant."""
    (tmp_path / "mine.py").write_text(
        "from genbench.registry import models\n@models.register('mine')\ndef mine(event, source): 'Mine.'\n"
    )
    name = typed_name(str(tmp_path / "mine.py"))
    assert name == typed_name(str(tmp_path / "mine.py:mine"))
    (tmp_path / "people.csv").write_text("1,2\n3,4\n")
    assert re.fullmatch("people@[0-9a-f]{8}", typed_name(str(tmp_path / "people.csv"), datasets))
    old, new = ("mine", "mine@00000000 steps=9", "old"), ("mine", f"{name} steps=9", "new")
    both = [(name, *new[1:]), ("mine@00000000 std=2", "mine@00000000 std=2", "old")]
    for asked, known, expected in (
        (name, [new], ["new"]),
        ("mine", [new], ["new"]),
        ("mine steps=9", [old], ["old"]),
        (name, both, ["new"]),
        (f"{name} steps=9", both, ["new"]),
        ("mine@00000000 std=2.0", both, ["old"]),
        ("cfm", [("cfm", "cfm", "ours"), ("cfm@00000000", "cfm@00000000", "a file's")], ["ours"]),
        ("cfm std=2", [("cfm std=2", "cfm std=2", "ours"), ("cfm@00000000 std=2", "cfm@00000000 std=2", 0)], ["ours"]),
        ("cfm", [("cfm", "cfm steps=9", 9), ("cfm", "cfm steps=90", 90)], [9, 90]),
        ("a@0000000a", [(f"a{s} file=0000000a", f"a@0000000a{s}", s) for s in ("", " test=0.3")], [""]),
    ):
        assert meant(asked, known, "none of") == expected
    for asked, known, message in (
        (
            "mine",
            both,
            f"none of 'mine', only of 'mine@00000000' or '{name}': name one of these contents of its file, or",
        ),
        ("mine std=2", both, "none of 'mine std=2', only of"),  # the words do not tell which content is meant
        ("mine@00000000 std=3", both, "none of 'mine@00000000 std=3'; did you mean 'mine@00000000 std=2'"),
        (name, [old], f"none of '{name}', only of 'mine@00000000': name one of these contents of its file, or run it"),
        ("mine std=3", [("mine std=2", "mine@00000000 std=2", 0)], "none of 'mine std=3'; did you mean 'mine std=2'?"),
        ("cfm", [("cfm std=1", "cfm std=1", 1), ("cfm std=2", "cfm std=2", 2)], "'cfm' is ambiguous: cfm std=1; cfm"),
        ("std=1", [("cfm std=1", "cfm std=1", 1)], "none of 'std=1'"),  # the model comes first
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            meant(asked, known, "none of")


def test_a_python_file_and_a_data_file_of_one_name_are_two_data_sets():
    found = labels(record("cfm", "people@0000000f"), record("cfm", "points", "people.csv", A))
    assert [data for _, data in found] == ["people@0000000f", "people file=aaaaaaaa"]
