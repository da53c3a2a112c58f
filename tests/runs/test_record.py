import gzip
import hashlib
import json
import random
from pathlib import Path

import pytest

from genbench.runs import record as records
from genbench.runs.make_spec import restore_spec
from genbench.runs.record import Misfiled, check_request, format_published, format_record, read_published, read_record
from genbench.runs.record_types import MEASUREMENT_COSTS, TRAINING_COSTS
from genbench.runs.spec import SPEC
from genbench.runs.store import run_name
from genbench.storage.files import Damaged

PUBLISHED = sorted(Path(__file__).parents[2].glob("results/*/records.jsonl.gz"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_committed_records_keep_their_bytes_and_their_keys(path):
    records = read_published(path)
    assert gzip.decompress(format_published(records)) == gzip.decompress(path.read_bytes())
    for record in records:
        assert SPEC.validate_python(record["spec"]).evaluation_key == record["labels"]["evaluation"]
        if record["spec"]["data"].get("path") is None:  # a key needs what the path holds
            assert run_name(restore_spec(record["spec"])) == record["labels"]["run"]


@pytest.fixture
def record():
    record = read_published(next(path for path in PUBLISHED if "synthetic" in str(path)))[0]
    made = {"code": {"commit": "a"}, "machine": {"device": "cpu"}}
    training = {**made, "cost": dict.fromkeys(TRAINING_COSTS, 8000)}
    measured = {**made, "cost": dict.fromkeys(MEASUREMENT_COSTS, 8000), "metrics": list(record["spec"]["metrics"])}
    return {**record, "provenance": {"data": {}, "training": training, "measurements": [measured]}}


def edited(record, *place, value):
    copy = json.loads(json.dumps(record))
    table = copy
    for name in place[:-1]:
        table = table[name]
    table[place[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("labels",), [], "labels: [] is wrong: input should be an object"),
        (("other",), 3, "other: extra inputs are not permitted"),
        (("results", 0, "value"), "3", "results.0.value"),
        (
            ("results", 0, "better"),
            "larger",
            "results.0.better: 'larger' is wrong: input should be 'lower', 'higher' or 'none'",
        ),
        (("spec", "seed"), "0", "spec.seed: '0' is wrong: input should be a valid integer"),
        (("spec", "model"), {"name": "cfm"}, "a component needs a name and a version"),
        (("spec", "model", "net"), {"name": ["mlp"], "version": 1}, "a component needs a name and a version"),
        (("spec", "model", "net"), {"name": "mlp", "version": {}}, "a component needs a name and a version"),
        (("spec", "plan"), {}, "spec.plan.steps is not a whole number"),
        (("spec", "plan", "steps"), "many", "spec.plan.steps is not a whole number"),
        (("spec", "plan", "batch_size"), 2**70, "spec.plan.batch_size is not a whole number"),
        (("spec", "modle"), {}, "spec.modle: extra inputs are not permitted"),
    ],
)
def test_a_damaged_record_is_located(record, tmp_path, place, value, message):
    path = tmp_path / "record.json"
    body = json.dumps(edited(record, *place, value=value))[:-1]
    path.write_text(f'{body},\n "sha256": "{hashlib.sha256(body.encode()).hexdigest()}"}}\n')
    with pytest.raises(Damaged, match=r"record\.json is not a record: ") as error:
        read_record(path)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["\ud800", float("nan")])
def test_published_texts_and_numbers_are_such_that_tables_can_be_written(record, tmp_path, text):
    path = tmp_path / "records.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(edited(record, "results", 0, "more", value=text)).encode()))
    with pytest.raises(Damaged, match="holds no records"):
        read_published(path)


def test_a_published_file_is_read_up_to_a_size_however_well_it_is_compressed(tmp_path, monkeypatch):
    path = tmp_path / "records.jsonl.gz"
    path.write_bytes(format_published(read_published(PUBLISHED[0])[:20]))
    assert len(read_published(path)) == 20
    monkeypatch.setattr(records, "MAX_PUBLISHED", 5000)
    with pytest.raises(Damaged, match="it has more than"):
        read_published(path)


def test_a_record_survives_its_file_also_of_a_model_that_is_not_installed_and_any_change_is_noticed(record, tmp_path):
    path = tmp_path / "record.json"
    other = edited(record, "spec", "model", value={"name": "elsewhere", "version": 3})
    for each in (record, edited(other, "labels", "model", value="elsewhere width=3")):
        path.write_text(format_record(each))
        assert read_record(path) == each
        assert format_record(read_record(path)) == path.read_text()
    path.write_text(json.dumps(record))
    with pytest.raises(Damaged, match="it has no checksum"):
        read_record(path)
    for text in (format_record(record).replace('"seed": 0', '"seed": 1'), format_record(record)[:-5]):
        path.write_text(text)
        with pytest.raises(Damaged, match="its checksum differs"):
            read_record(path)


def test_no_flipped_bit_of_published_records_gives_others(tmp_path):
    whole = min(PUBLISHED, key=lambda path: path.stat().st_size).read_bytes()
    path, draw, sound = tmp_path / "records.jsonl.gz", random.Random(0), None
    for place in [None, *(draw.randrange(len(whole)) for _ in range(60))]:
        changed = bytearray(whole)
        if place is not None:
            changed[place] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        try:
            found = read_published(path)
        except Damaged:
            continue
        sound = sound or found
        assert found == sound


@pytest.mark.parametrize(
    ("of_record", "of_weights"), [("text", ["list"]), (["list"], "text"), ({"a": ["list"]}, "text"), ("text", {})]
)
@pytest.mark.parametrize("model", ["cfm", "of a plug-in"])
def test_specs_of_odd_types_and_unknown_components_belong_to_another_run(record, model, of_record, of_weights):
    def spec(value):
        return {**record["spec"], "model": {"name": model, "version": 1, "net": value}}

    asked = SPEC.validate_python(spec(of_record))
    with pytest.raises(Misfiled):
        check_request(Path("model.safetensors"), SPEC.validate_python(spec(of_weights)).json(), asked)
