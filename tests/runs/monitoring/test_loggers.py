import json
import struct
import sys

import pytest
from helpers.command_line import begin_all

from genbench.errors import ConfigError
from genbench.runs.make_spec import make_spec
from genbench.runs.monitoring import loggers
from genbench.runs.monitoring.loggers import Loggers
from genbench.runs.record import read_record
from genbench.runs.store import Store
from genbench.sweeps.execution import execute


def spec(steps=30):
    settings = {"plan": {"steps": steps, "batch_size": 16}, "evaluation": {"n": 32, "curve": []}}
    return make_spec("cfm", "moons", metrics=["sliced_w2"], settings=settings)


def shown(folder):
    """Return the scalars and the spec that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    (spec,) = events.Tensors("spec/text_summary")
    scalars = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return scalars, json.loads(spec.tensor_proto.string_val[0])


def test_tensorboard_logs_training_and_results_and_changes_neither(tmp_path):
    quiet, loud = Store(tmp_path / "quiet"), Store(tmp_path / "loud")
    assert execute([spec()], quiet, 1, lambda event: None) == [None]
    assert execute([spec()], loud, 1, lambda event: None, ["tensorboard"]) == [None]
    record = read_record(loud.record_path(spec()))
    assert record["results"] == read_record(quiet.record_path(spec()))["results"]
    found, spec_shown = shown(loud.root / "logs" / record["labels"]["run"])
    losses = [line.split(",")[:2] for line in (loud.folder(spec()) / "train.csv").read_text().splitlines()[1:]]
    logged = dict(found["train/loss"])
    assert set(logged) == {1, 3, 20, 30}
    for step, value in losses:
        if int(step) in logged:
            assert logged[int(step)] == pytest.approx(float(value), rel=1e-4)
    assert found["result/sliced_w2"] == [(30, pytest.approx(record["results"][0]["value"]))]
    assert spec_shown == record["spec"]
    assert not (quiet.root / "logs").exists()


def wandb_records(path):
    """Read the log of an offline run: after 7 bytes, blocks of 32 KiB with pieces of records (LevelDB's log format)."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, record = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if (left := 2**15 - place % 2**15) < 7:
            place += left
            continue
        size, kind = struct.unpack_from("<4xHB", content, place)
        record += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or its last piece
            yield Record.FromString(record)
            record = b""


def test_a_run_and_its_teacher_are_logged_whole(tmp_path):
    """Each counts its own steps: the model begins again with step 1."""
    pytest.importorskip("wandb")
    command = ["run", "--model", "reflow", "--dataset", "moons", "--metric", "nfe", "--json"]
    command += ["--results", str(tmp_path)]
    command += ["--set", "model.pairs=64", "--set", "evaluation.n=32", "--set", "evaluation.curve=[]"]
    command += ["--set", "plan.steps=5", "--log", "wandb", "--log", "tensorboard"]
    environment = {"WANDB_MODE": "offline", "HOME": tmp_path}
    environment |= {"WANDB__SERVICE_WAIT": 500, "WANDB_INIT_TIMEOUT": 500}  # seconds, on a busy machine
    done = begin_all({"run": command}, **environment)["run"]
    assert done.code == 0, done.stderr
    # Before 0.31 wandb warns that an offline run cannot be resumed.
    assert not [line for line in done.stderr.splitlines() if "wandb" in line and "`resume` will be ignored" not in line]
    run = json.loads(done.stdout)["labels"]["run"]
    expected = {"train/teacher loss": [1, 3, 5], "train/loss": [1, 3, 5], "result/nfe": [5]}
    found, _ = shown(tmp_path / "logs" / run)
    assert {name: [step for step, _ in found[name]] for name in expected} == expected
    (path,) = (tmp_path / "logs" / run).glob("wandb/offline-run-*/*.wandb")
    records = list(wandb_records(path))
    assert [record.metric.step_metric for record in records if record.HasField("metric")] == ["step"]
    lines = [record.history.item for record in records if record.HasField("history")]
    table = [{item.key or item.nested_key[0]: json.loads(item.value_json) for item in line} for line in lines]
    for name, steps in expected.items():
        logged = [(row["step"], row[name]) for row in table if name in row]
        assert logged == [(step, pytest.approx(dict(found[name])[step])) for step in steps]


def test_a_logger_that_fails_is_reported_once_and_fails_no_cell(monkeypatch, tmp_path, caplog):
    asked = []

    def unreachable(folder, spec):
        asked.append(folder)
        raise RuntimeError("no answer")

    monkeypatch.setattr(loggers, "_failed", set())
    monkeypatch.setattr(loggers, "_imported", lambda package: None)
    monkeypatch.setitem(loggers.OPEN, "wandb", unreachable)
    store, cells = Store(tmp_path), [spec(3), spec(4)]
    assert execute(cells, store, 1, lambda event: None, ["wandb", "tensorboard"]) == [None, None]
    assert [record.getMessage() for record in caplog.records] == ["wandb is not used from now on: no answer"]
    assert len(asked) == 1
    assert len(list(tmp_path.glob("logs/*/events*"))) == 2


def test_a_missing_logger_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"pip install 'genbench\[wandb\]'"):
        Loggers(["wandb"], tmp_path, spec())
