"""What a record of another author names is not opened without --trust; one's own results need no permission."""

import shutil
import sys

import pytest
import torch
from helpers.image_trees import write_images
from helpers.toy_nets import UNET

import genbench
from genbench import ConfigError
from genbench.results.archive import zip_folder
from genbench.runs import spec as specs
from genbench.runs.make_spec import make_spec, restore_spec
from genbench.runs.spec import SPEC
from genbench.storage import trust

opened = []
sys.addaudithook(lambda event, details: event in ("open", "os.scandir", "os.listdir") and opened.append(details[0]))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of images, and the results of a run on it."""
    place = tmp_path_factory.mktemp("made")
    write_images(place / "images", {"train/a": 8, "train/b": 8, "test/a": 4, "test/b": 4})
    settings = {"data": {"path": str(place / "images"), "size": 8, "valid": 0.0}, "model": {"net": UNET}}
    settings |= {"plan": {"steps": 2, "batch_size": 2}, "evaluation": {"n": 4}}
    genbench.run("cfm", "folder", metrics=["norm"], settings=settings, results=place / "results")
    return place / "images", place / "results"


@pytest.fixture
def copied(made, tmp_path):
    """The images, and a copy of the results in another process: nothing is built yet."""
    shutil.copytree(made[1], tmp_path / "results")
    specs._built.clear()
    opened.clear()
    return made[0], tmp_path / "results"


def outside(folder):
    return [path for path in opened if isinstance(path, str) and path.startswith(str(folder))]


def submitted(results, tmp_path):
    """Return a submission that names the path of the images, as a forger may write one."""
    zip_folder(results, tmp_path / "x.genbench.zip")
    return tmp_path / "x.genbench.zip"


@pytest.mark.parametrize("command", ["verify", "leaderboard --add", "merge", "status", "compare"])
def test_a_path_that_only_the_record_of_another_author_names_is_not_opened(cli, copied, tmp_path, command):
    images, results = copied
    path = submitted(results, tmp_path)
    arguments = {
        "verify": ("verify", path),
        "leaderboard --add": ("leaderboard", "--results", tmp_path / "none", "--add", path),
        "merge": ("results", "merge", results, "--results", tmp_path / "into"),
        "compare": ("compare", results, results),
    }
    code, out, err = cli(*arguments.get(command, ("results", command, "--results", results)))
    assert code == (command in ("verify", "merge")), err  # nothing could be measured or copied
    assert not outside(images)
    if command == "verify":  # the file is needed, and the user has not given it
        assert "its data images (sha256" in " ".join(out.split())
    if command == "merge":
        assert ", which is not opened: add --trust" in err
        assert not [*tmp_path.glob("into/runs/*/*")]
        assert "1 new" in cli("results", "merge", "--trust", results, "--results", tmp_path / "into")[1]


@pytest.mark.parametrize("command", ["verify", "report", "eval", "load"])
def test_ones_own_results_need_no_permission(cli, copied, tmp_path, command):
    images, results = copied
    run = next(results.glob("runs/*"))
    arguments = {
        "verify": ("verify", "--results", results),
        "report": ("report", "--results", results, "--html", tmp_path / "page.html"),
        "eval": ("eval", run, "--results", results),
    }
    if command == "load":
        genbench.load(run)
    else:
        code, out, err = cli(*arguments[command])
        assert code == 0, out + err
        assert "--trust" not in out + err
    assert outside(images)


def test_weights_hub_names_and_stacks_are_refused_wherever_they_are_nested(copied, tmp_path):
    class Evil(torch.nn.Module):
        def forward(self, x):
            return x

    torch.jit.script(Evil()).save(tmp_path / "evil.pt")
    evil = str(tmp_path / "evil.pt")
    opened.clear()
    plain = make_spec("cfm", "moons", metrics=["norm"]).json()
    trust.check(SPEC.validate_python(plain).parts())
    inception = {"name": "inception-legacy", "version": 1, "weights": evil, "sha256": "0" * 64}
    text = {"name": "transformers", "version": 1, "model": "stranger/model", "revision": None}
    encoder = {"name": "diffusers", "version": 1, "model": "stranger/vae", "revision": None}
    for change in (
        {"metrics": {"kid": {"name": "kid", "version": 1, "features": inception}}},
        {"metrics": {"kid": {"name": "kid", "version": 1, "features": {"weights": evil}}}},
        {"metrics": {"fid-legacy": {"name": "fid-legacy", "version": 1, "statistics": evil}}},
        {"model": {"name": "starflow", "version": 1, "text": text}},
        {"stack": [{"seed": 0}, {"seed": 1, "net": evil}]},
        {"encoder": encoder},
        {"model": encoder, "kind": "encoder"},
    ):
        with pytest.raises(ConfigError, match="--trust"):
            trust.check(SPEC.validate_python({**plain, **change}).parts())
    assert not outside(tmp_path)


def test_what_a_record_names_is_never_imported(copied, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    plain = make_spec("cfm", "moons", metrics=["norm"]).json()
    for part in ("data", "model"):
        with pytest.raises(ConfigError, match=r"no (data set|model) 'evil'"):
            restore_spec({**plain, part: {"name": "evil", "version": 1}})
    assert not (tmp_path / "evil.ran").exists()
