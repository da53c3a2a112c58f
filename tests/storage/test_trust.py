"""What a results folder names is not opened, by whichever command, unless the user trusts or names it."""

import json
import shutil
import sys

import pytest
import torch
from helpers.image_trees import write_images

from genbench import ConfigError
from genbench.runs import spec as specs
from genbench.runs.make_spec import make_spec, restore_spec
from genbench.storage import trust
from genbench.storage.trust import Untrusted

SETTINGS = ["data.size=8", "data.valid=0.0", "plan.steps=2", "plan.batch_size=2", "evaluation.n=4"]
SETTINGS += ['model.net={"name": "unet", "channels": 4, "blocks": 1, "multipliers": [1], "attention": []}']
opened = []
sys.addaudithook(lambda event, details: event in ("open", "os.scandir", "os.listdir") and opened.append(details[0]))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The results of a run on a folder of images: (images, results, record)."""
    place = tmp_path_factory.mktemp("made")
    write_images(place / "images", {"train/a": 8, "train/b": 8, "test/a": 4, "test/b": 4})
    settings = {"data": {"path": str(place / "images")}}
    for text in SETTINGS:
        name, value = text.split("=", 1)
        section, setting = name.split(".")
        settings.setdefault(section, {})[setting] = json.loads(value)
    from genbench import run

    record = run("cfm", "folder", metrics=["norm"], settings=settings, results=place / "results")
    return place / "images", place / "results", record


@pytest.fixture
def strangers(made, tmp_path):
    """The images and a copy of the results, as another person's process finds them: nothing is named or built yet."""
    shutil.copytree(made[1], tmp_path / "results")
    trust._named.clear()
    specs._build_data.cache_clear()
    opened.clear()
    return made[0], tmp_path / "results"


def outside(folder):
    return [path for path in opened if isinstance(path, str) and path.startswith(str(folder))]


OTHERS = ["eval", "compare", "merge", "load"]


@pytest.mark.parametrize(
    "command", ["results status --results", "verify", "report", "results clean --stale --results", *OTHERS]
)
def test_no_command_opens_a_path_that_only_a_record_names(cli, strangers, tmp_path, command):
    images, results = strangers
    run = next(results.glob("runs/*"))
    arguments = {"eval": ["eval", run], "compare": ["compare", results, results]}
    page = tmp_path / "page.html"
    arguments |= {
        "merge": ["results", "merge", results, "--results", tmp_path / "into"],
        "report": ["report", "--results", results, "--html", page],
    }
    if command == "load":
        from genbench import load

        with pytest.raises(ConfigError, match="add --trust"):
            load(run)
        assert not outside(images)
        load(run, trust=True)
        trust.trust_everything(False)
        return
    code, out, err = cli(*arguments.get(command, [*command.split(), results]))
    assert code == (2 if command == "eval" else 0)
    assert not outside(images)
    said = {line for line in (out + err).splitlines() if "is not opened: add --trust if you trust" in line}
    assert len(said) == (command in ("verify", "eval"))  # the others need nothing that a record names
    if command == "report":  # where the picture would be
        assert any("add --trust" in path.read_text() for path in tmp_path.glob("page/*.html"))
    if command in ("verify", "eval"):
        code, out, err = cli(*arguments.get(command, [command, results]), "--trust")
        assert code == 0
        assert outside(images)
        assert "add --trust" not in out + err


def spec_of(record):
    return json.loads(record.read_text())["spec"]


def test_a_path_that_the_request_names_too_is_opened(cli, strangers):
    images, results = strangers
    spec = spec_of(next(results.glob("runs/*/*/record.json")))
    with pytest.raises(Untrusted, match=r"^data\.path='.*/images' comes from a results folder"):
        restore_spec(spec)
    settings = {name: spec[name] for name in ("plan", "sample", "evaluation")}
    settings |= {
        part: {k: v for k, v in spec[part].items() if k not in ("name", "version")} for part in ("data", "model")
    }
    make_spec("cfm", "folder", metrics=["norm"], settings=settings)
    assert restore_spec(spec).data["path"] == str(images)
    assert "no difference" in cli("verify", results)[1]


def test_weights_hub_names_and_stacks_are_refused_wherever_they_are_nested(strangers, tmp_path):
    class Evil(torch.nn.Module):
        def forward(self, x):
            return x

    torch.jit.script(Evil()).save(tmp_path / "evil.pt")
    evil = str(tmp_path / "evil.pt")
    opened.clear()
    plain = make_spec("cfm", "moons", metrics=["norm"]).json()
    restore_spec(plain)
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
        with pytest.raises(Untrusted):
            restore_spec({**plain, **change})
    assert not outside(tmp_path)


def test_what_a_record_names_is_never_imported(strangers, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    plain = make_spec("cfm", "moons", metrics=["norm"]).json()
    for part in ("data", "model"):
        with pytest.raises(ConfigError, match=r"no (data set|model) 'evil'"):
            restore_spec({**plain, part: {"name": "evil", "version": 1}})
    assert not (tmp_path / "evil.ran").exists()
