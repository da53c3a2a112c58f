"""Weights that are kept: those of earlier versions are read, those of another network or run are noticed."""

import pytest
import torch

from genbench.models.build import build_model
from genbench.runs.record import Misfiled
from genbench.runs.spec import build_data
from genbench.runs.weights_file import read_weights, restore_weights
from genbench.storage import tensors
from genbench.storage.files import Damaged


def test_weights_of_earlier_versions_are_read_and_compared_by_their_spec(runs):
    store, (first, _, third, *_) = runs
    state, header = tensors.load(store.weights_path(third), ("spec", "cost", "run"))
    del header["run"]
    tensors.save(store.weights_path(third), state, header)
    assert read_weights(store.weights_path(third))[2]["train_seconds"] > 0
    store.weights_path(first).unlink()  # it may be a link to the file of a sweep that tests share
    store.weights_path(first).write_bytes(store.weights_path(third).read_bytes())
    with pytest.raises(Misfiled, match="belongs to another run, wcfm-moons-0"):
        read_weights(store.weights_path(first))


def test_sealed_weights_of_the_right_name_and_another_network_are_damaged(runs):
    store, (spec, *_) = runs
    path = store.weights_path(spec)
    _, header = tensors.load(path, ())
    tensors.save(path, {"a": torch.zeros(3)}, header)
    model = build_model(spec.model, spec.encoder, build_data(spec.data))
    with pytest.raises(Damaged, match="holds the weights of another network"):
        restore_weights(model, path, spec)
