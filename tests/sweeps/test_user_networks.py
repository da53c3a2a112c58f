"""Networks and encoders of the user's own, named by their files."""

import json
import re

import numpy as np
import pytest
import torch
from helpers.pages import TINY, saved_from
from torch.testing import assert_close

import genbench
from genbench.sweeps.suite import load


def test_the_network_of_a_file_is_trained(cli, folder):
    name = saved_from("own_network.md", folder)
    settings = TINY | {"model": {"net": {"name": f"{name}:residual", "width": 8}}}
    record = genbench.run("otcfm", "moons", metrics=["parameters"], settings=settings, results=folder / "r")
    assert re.fullmatch(r"residual@[0-9a-f]{8}", record["spec"]["model"]["net"]["name"])
    (parameters,) = record["results"]
    assert parameters["value"] == (3 * 8 + 8) + 3 * (8 * 8 + 8) + (8 * 2 + 2)
    arguments = ["run", "--model", "otcfm", "--dataset", "moons", "--set", f"model.net={name}", "--dry-run"]
    code, out, err = cli(*arguments, "--set", "model.net.width=8")
    assert (code, json.loads(out)["spec"]["model"]) == (0, record["spec"]["model"]), err
    (folder / "sub").mkdir()
    (folder / "sub/suite.toml").write_text(
        f'datasets = ["moons"]\nmodels = [{{ name = "cfm", net = "../{name}" }}]\nmetrics = ["parameters"]\n'
    )
    (spec,) = load("sub/suite.toml").specs
    assert spec.model["net"]["name"] == record["spec"]["model"]["net"]["name"]


def test_the_encoder_of_a_file_keeps_the_principal_components(folder):
    name = saved_from("own_autoencoder.md", folder)
    settings = TINY | {"model": {"encoder": {"name": name, "components": 5}}}
    record = genbench.run("cfm", "digits", metrics=["norm"], settings=settings, results=folder / "r")
    assert re.fullmatch(r"pca@[0-9a-f]{8}", record["spec"]["encoder"]["name"])
    encoder = genbench.load(folder / "r", record["labels"]["run"]).encoder
    x = genbench.registry.datasets["digits"].build().train
    x = x.take(x.size, 0).x
    values = np.linalg.eigvalsh(np.cov(x.flatten(1).numpy().T.astype(float)))
    lost = (encoder.decode(encoder.encode(x)) - x).flatten(1).square().sum() / (len(x) - 1)
    assert float(lost) == pytest.approx(values[:-5].sum(), rel=1e-4)  # Eckart and Young
    assert_close(encoder.encode(x).var(0), torch.ones(5), atol=2e-3, rtol=0)
