"""Released weights become a run that is measured like any other, and whose provenance says where they are from."""

import pickle
import shlex
import shutil
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from helpers import sit, song_unet
from helpers.command_line import begin
from helpers.image_trees import write_images
from safetensors.torch import load_file, save_file
from torchcfm.models.unet.unet import UNetModelWrapper

from genbench.results import importing
from genbench.runs.record import read_kept
from genbench.runs.spec import build_data
from genbench.runs.store import Store, spec_at
from genbench.runs.train_or_resume import build_untrained
from genbench.runs.weights_file import restore_weights
from genbench.storage import content_hash

NET = ("channels=128", "multipliers=[1,2]", "blocks=1", "attention=[4]")
SIZES = [word for text in NET for word in ("--set", f"model.net.{text}")]


def released(path):
    """Write a checkpoint with the content of torchcfm's example, of a smaller network, and return the network."""
    torch.manual_seed(0)
    net = UNetModelWrapper(
        dim=(3, 8, 8), num_res_blocks=1, num_channels=128, channel_mult=[1, 2], num_heads=4, num_head_channels=64,
        attention_resolutions="4", dropout=0.1,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step, 5000) / 5000)
    state = net.state_dict()
    raw = OrderedDict((name, torch.zeros_like(value)) for name, value in state.items())
    content = {"net_model": raw, "ema_model": state, "sched": schedule.state_dict(), "optim": optimizer.state_dict()}
    torch.save(content | {"step": 400_000}, path)
    return net.eval()


@pytest.fixture(scope="module")
def their(tmp_path_factory):
    """The path of such a checkpoint, and its network."""
    path = tmp_path_factory.mktemp("released") / "their.pt"
    return path, released(path)


@pytest.fixture
def request_of(tmp_path):
    """Return the words of an import into a data set of small images."""
    write_images(tmp_path / "images", {"train/a": 8, "test/a": 8})
    data = ("--dataset", "folder", "--set", f"data.path={tmp_path / 'images'}", "--set", "data.size=8")

    def words(path, *more):
        return ("results", "import", "torchcfm", path, *data, "--results", tmp_path / "results", *SIZES, *more)

    return words


class Trap:
    """What a pickle executes when it is read without care."""

    def __reduce__(self):
        return Path.touch, (Path("trap"),)


def test_an_imported_run_has_the_outputs_of_the_released_network_and_is_measured(tmp_path, request_of, their):
    path, theirs = their
    done = begin(*request_of(path, "--model", "otcfm"))
    assert done.code == 0, done.stderr
    sha256 = content_hash.sha256(path)
    assert f"released={sha256[:8]}" in done.stdout
    (run,) = (tmp_path / "results" / "runs").iterdir()
    spec = spec_at(run)
    assert (spec.model["name"], spec.plan["steps"], spec.plan["released"]) == ("otcfm", 0, sha256)
    model = build_untrained(spec, build_data(spec.data))
    training = restore_weights(model, run / "model.safetensors", spec)
    assert training["code"].items() >= {"released": "torchcfm", "sha256": sha256, "file": "their.pt"}.items()
    x, t = torch.randn(2, 3, 8, 8), torch.rand(2)
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model.velocity(t, x), theirs(t, x), rtol=1e-5, atol=1e-5)
    solver = ("--set", "sample.method=euler", "--set", "sample.steps=2", "--set", "evaluation.curve=[]")
    said = " ".join(done.stdout.split()).partition("measure it: genbench ")[2]
    done = begin(*shlex.split(said), "--metric", "norm", "--metric", "nfe", "--set", "evaluation.n=4", *solver)
    assert (done.code, "trained in" in done.stdout) == (0, False), done.stderr
    (path,) = run.glob("*/record.json")
    record = read_kept(path)
    assert {row["metric"]: row["value"] for row in record["results"]}["nfe"] == 2
    assert record["provenance"]["training"] == training
    (run / "model.safetensors").unlink()
    plan = ("--set", f"plan.released={sha256}", "--set", "plan.steps=0")
    done = begin("run", "--model", "otcfm", *request_of("")[4:], *plan)
    assert "released weights, which are not here" in done.stderr
    assert (done.code, Store(tmp_path / "results").has_weights(spec)) == (2, False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"ema_model": {}},
            "weights of another network: time.0.weight is missing in the file, but (512, 128) in the network",
        ),
        ({"ema_model": {"out.0.weight": torch.tensor(torch.nan)}}, "time.0.weight is missing in the file"),
        (
            {"ema_model": {"out.0.weight": torch.zeros(1).expand(10**14)}},
            "out.0.weight is not a dense floating-point tensor",
        ),
        *(
            ({"ema_model": {"out.0.weight": wrong}}, "out.0.weight is not a dense floating-point tensor")
            for wrong in (torch.eye(2).to_sparse(), torch.empty(2, device="meta"), torch.ones(2, dtype=torch.complex64))
        ),
        ({"ema_model": [1]}, "layout of torchcfm"),
        ({"ema_model": {"out.0.weight": "text"}}, "layout of torchcfm"),
        ({"extra": Trap()}, "without executing it"),
        ({"extra": Namespace(option=Trap())}, "without executing it"),
    ],
)
def test_other_files_are_refused(tmp_path, request_of, monkeypatch, changes, reason):
    monkeypatch.chdir(tmp_path)
    torch.save({"ema_model": {}} | changes, tmp_path / "their.pt")
    done = begin(*request_of(tmp_path / "their.pt"))
    assert done.code == 2
    assert reason in done.stderr.splitlines()[-1]  # after remarks on the data
    assert not (tmp_path / "trap").exists()
    assert not list(tmp_path.glob("results/runs/*/model.safetensors"))


def test_averaged_weights_alone_are_the_same_weights_and_no_import_replaces_those_that_are_there(
    tmp_path, request_of, their
):
    content = torch.load(their[0], weights_only=True)
    torch.save(content, tmp_path / "their.pt")
    parallel = {f"module.{name}": value for name, value in content["ema_model"].items()}  # of DistributedDataParallel
    save_file(parallel, tmp_path / "averaged.safetensors")
    for name in ("their.pt", "averaged.safetensors"):
        done = begin(*request_of(tmp_path / name))
        assert done.code == 0, done.stderr
        run = done.stdout.partition("genbench eval ")[2].split()[0]
        assert spec_at(tmp_path / "results" / "runs" / run).plan["released"] == content_hash.sha256(tmp_path / name)
    paths = [*tmp_path.glob("results/runs/*/model.safetensors")]
    one, other = map(load_file, paths)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    kept = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    again = shutil.copy(tmp_path / "their.pt", tmp_path / "again.pt")
    done = begin(*request_of(again))
    assert (done.code, "already exists" in done.stderr.splitlines()[-1]) == (2, True)
    done = begin(*request_of(again, "--model", "reflow"))  # cfm would be its teacher
    assert (done.code, "reflow does not fit weights of torchcfm" in done.stderr.splitlines()[-1]) == (2, True)
    content["ema_model"]["out.0.weight"][5] = torch.inf
    torch.save(content, tmp_path / "their.pt")
    done = begin(*request_of(tmp_path / "their.pt"))
    assert (done.code, "the weights norm.weight are not all finite" in done.stderr.splitlines()[-1]) == (2, True)
    assert {*tmp_path.glob("results/runs/*/model.safetensors")} == {*paths}
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths] == kept


def test_files_that_are_no_checkpoints_are_refused(tmp_path, request_of, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap.pkl").write_bytes(pickle.dumps(Trap()))
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 8)
    (tmp_path / "none.pt").write_bytes(b"")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    for name in ("trap.pkl", "text.pt", "cut.safetensors", "none.pt", "tensor.pt", "missing.pt"):
        done = begin(*request_of(tmp_path / name))
        assert (done.code, done.stderr.count("\n")) == (2, 1), done.stderr
    assert not (tmp_path / "trap").exists()
    assert "no format 'torchfm'; did you mean 'torchcfm'?" in begin("results", "import", "torchfm", "x.pt").stderr
    torch.save({"ema_model": {}}, tmp_path / "empty.pt")
    done = begin(*request_of(tmp_path / "empty.pt")[:-8], "--model", "gaussian")
    assert (done.code, "gaussian has no setting" in done.stderr) == (2, True)


def test_a_model_of_latents_takes_its_encoder_from_a_run_of_its_own(tmp_path, request_of, monkeypatch):
    write_images(tmp_path / "images", {"train/a": 8, "train/b": 8, "test/a": 4, "test/b": 4})
    encoder = {"name": "autoencoder", "steps": 2, "batch_size": 4, "width": 4, "channels": sit.CHANNELS}
    net = {"name": "dit", "patch": sit.PATCH, "width": sit.WIDTH, "depth": sit.DEPTH, "heads": sit.HEADS}
    known = importing.FORMATS["sit"]
    small = known._replace(settings={"model": {"net": net, "conditional": True, "encoder": encoder}})
    monkeypatch.setitem(importing.FORMATS, "sit", small)
    state = sit.released(side=4, classes=2)
    torch.save({"ema": state}, tmp_path / "sit.pt")
    data = {"path": str(tmp_path / "images"), "size": 8}
    store = Store(tmp_path / "results")
    spec = importing.import_released("sit", tmp_path / "sit.pt", store, model=None, data=None, settings={"data": data})
    model = build_untrained(spec, build_data(spec.data))
    restore_weights(model, store.weights_path(spec), spec)
    x, t, label = torch.randn(2, sit.CHANNELS, 4, 4), torch.rand(2), torch.tensor([0, 1])
    for own, there in ((label, label), (None, torch.tensor([2, 2]))):  # index 2: no class
        with torch.no_grad():
            velocity = model.model.velocity(t, x, own)
        torch.testing.assert_close(velocity, sit.outputs(state, t, x, there), rtol=1e-5, atol=1e-5)
    assert spec.prerequisites.keys() == {"encoder"}
    assert store.has_weights(spec.prerequisites["encoder"])


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """imported(format, content, **settings of the model) returns the model of an import at the size of `song_unet`."""
    write_images(tmp_path / "images", {"train/a": 8, "train/b": 8, "train/c": 8, "test/a": 4, "test/b": 4, "test/c": 4})

    def load(kind, content, **model):
        torch.save(content, tmp_path / "their.pt")
        settings = {"model": {"net": song_unet.SIZES} | model}
        monkeypatch.setitem(importing.FORMATS, kind, importing.FORMATS[kind]._replace(data="folder"))
        settings["data"] = {"path": str(tmp_path / "images"), "size": song_unet.SIDE}
        store = Store(tmp_path / "results")
        spec = importing.import_released(kind, tmp_path / "their.pt", store, model=None, data=None, settings=settings)
        built = build_untrained(spec, build_data(spec.data))
        restore_weights(built, store.weights_path(spec), spec)
        return built.eval()

    return load


@pytest.mark.parametrize("classes", [0, 3])
def test_imported_weights_of_edm_denoise_as_there(imported, classes):
    state = song_unet.released([1.0, 1.0], 128, 1, classes)
    content = {f"model.{name}": value for name, value in state.items()}
    model = imported("edm", content, **({"conditional": True} if classes else {}))
    y, t = torch.randn(3, 3, 8, 8), torch.tensor([0.03, 0.5, 0.97])
    wide = t[:, None, None, None]
    for label in (None, torch.arange(3)) if classes else (None,):
        one_hot = None if not classes else torch.zeros(3, 3) if label is None else torch.eye(3)
        with torch.no_grad():
            image = wide * y + (1 - wide) * model.velocity(t, wide * y, label)
        due = song_unet.edm_denoiser(state, y, (1 - t) / t, 128, one_hot)
        torch.testing.assert_close(image, due, rtol=1e-5, atol=1e-5)


def test_imported_weights_of_meanflow_take_the_step_that_they_take_there(imported):
    state = song_unet.released([1.0, 3.0, 3.0, 1.0], 256, 2, augment=6)
    raw = {f"net.{name}": torch.zeros_like(value) for name, value in state.items()}
    averaged = {f"net_ema1.{name}": value for name, value in state.items()}
    other = {f"net_ema.{name}": torch.zeros_like(value) for name, value in state.items()}
    weights = {"num_updates": torch.tensor(800_000), **raw, **averaged, **other}
    model = imported("meanflow", {"model": weights, "epoch": 16_000, "args": Namespace(lr=6e-4, betas=[0.9, 0.999])})
    noise, one = torch.randn(2, 3, 8, 8), torch.ones(2)
    with torch.no_grad():
        due = noise - song_unet.network(state, noise, [one, one], 256, alternating=False)
        torch.testing.assert_close(model.sample(noise, steps=1).x, due, rtol=1e-5, atol=1e-5)


def test_the_names_of_formats_are_those_that_the_command_states():
    done = begin("results", "import", "--help")
    assert all(name in done.stdout for name in importing.FORMATS), done.stdout
