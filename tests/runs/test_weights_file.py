"""Saved weights: those of another network or run are noticed."""

import json
import shutil
from contextlib import nullcontext

import pytest
import torch

from genbench.models.build import build_model
from genbench.runs.spec import build_data
from genbench.runs.store import spec_at
from genbench.runs.weights_file import read_weights, restore_weights
from genbench.storage import tensors
from genbench.storage.files import Damaged


def test_sealed_weights_of_the_right_name_and_another_network_are_damaged(runs):
    store, (spec, *_) = runs
    path = store.weights_path(spec)
    _, header = tensors.load(path, ())
    tensors.save(path, {"a": torch.zeros(3)}, header)
    model = build_model(spec.model, spec.encoder, build_data(spec.data))
    with pytest.raises(Damaged, match="has the weights of another network"):
        restore_weights(model, path, spec)


HEADERS = [("spec", text) for text in ("", "x", "[]", "[" * 100_000)]
HEADERS += [("training", text) for text in ("{}", '{"code": {}, "machine": {}, "cost": {}}')]
HEADERS += [
    ("training", f'{{"code": {{}}, "machine": {{"device": "cpu"}}, "cost": {{"train_seconds": {value}}}}}')
    for value in ("1.0", "NaN")
]


def test_sealed_weights_with_another_header_are_damaged(runs):
    store, (spec, *_) = runs
    path = store.weights_path(spec)
    state, header = tensors.load(path, ())
    shutil.rmtree(store.record_path(spec).parent)
    for field, text in HEADERS:
        tensors.save(path, state, {**header, field: text})
        for read in (read_weights, lambda path: spec_at(path.parent)):
            with pytest.raises(Damaged, match="its header lacks spec or training"):
                read(path)


@pytest.mark.parametrize(("steps", "damaged"), [(0, False), (5, True)])
def test_weights_without_a_cost_are_imported_ones_of_no_steps(runs, steps, damaged):
    store, (spec, *_) = runs
    path = store.weights_path(spec)
    state, header = tensors.load(path, ())
    kept = spec.json()
    kept["plan"] = kept["plan"] | {"steps": steps, "released": 64 * "a"}
    free = json.dumps({"code": {}, "machine": {}, "cost": {}})
    tensors.save(path, state, header | {"spec": json.dumps(kept), "training": free})
    with pytest.raises(Damaged, match="cost of training is missing") if damaged else nullcontext():
        read_weights(path)


def test_weights_of_more_rows_than_a_tensor_can_have_are_damaged(tmp_path):
    about = {"run": "a", "spec": "{}", "training": "{}", "sha256": ""}
    header = json.dumps({"__metadata__": about, "a": {"dtype": "F32", "shape": [2**63, 0], "data_offsets": [0, 0]}})
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode())
    with pytest.raises(Damaged, match=r"model\.safetensors is damaged: [^\n]*$"):
        read_weights(tmp_path / "model.safetensors")
