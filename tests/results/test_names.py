"""Users see the names of their files; a hash only where two things share a name."""

import re

import pytest

from genbench.errors import ConfigError
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
    ("typed", "name"),
    [("mine.py", "mine"), ("dir/mine.py:other", "other"), ("people.csv", "people"), ("a/faces.tar.gz", "faces")]
    + [(same, same) for same in ("cfm", "mine@1f2e3d4c", "ours+reg", "wcfm kappa=0.5")]
    + [(same, same) for same in ("cifar10 images=f0c7f7bd", "points file=35e89469")],
)
def test_a_file_may_be_named_as_in_a_run(typed, name):
    assert typed_name(typed) == name


def test_a_file_means_its_present_content_and_a_name_any_content(tmp_path):
    """After an edit, results of both contents have the hash in their names, and nothing said which one was meant."""
    (tmp_path / "mine.py").write_text(
        "from genbench.registry import models\n@models.register('mine')\ndef mine(event, source): 'Mine.'\n"
    )
    name = typed_name(str(tmp_path / "mine.py"))
    assert name == typed_name(str(tmp_path / "mine.py:mine"))
    assert name.startswith("mine@")
    old, new = ({label: full} for label, full in (("mine", "mine@00000000"), ("mine", name)))
    assert meant([name, "mine"], new, "none of") == ["mine", "mine"]
    both = {name: name, "mine@00000000": "mine@00000000", "cfm": "cfm", "cfm@00000000": "cfm@00000000"}
    assert meant([name, "cfm"], both, "none of") == [name, "cfm"]
    assert meant(["mine"], {name: name, f"{name} steps=2": name}, "none of") == [name]
    for names, labels, message in (
        (["mine", "cfm"], both, f"'mine' is ambiguous: {name}; mine@00000000. Name one of them"),
        (["mine"], {name: name, "mine@00000000 std=2": "mine@00000000"}, "'mine' is ambiguous"),  # also of more words
        (["mine", "cf"], both, "none of 'cf'; did you mean"),  # what is missing first
        (["mine@00000000 std=2"], old, "none of 'mine@00000000 std=2'; known: mine"),  # its content is there
        ([name], old, f"none of '{name}', only of other contents of its file: run it, or name 'mine'"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            meant(names, labels, "none of")
