import torch

from genbench.metrics.evaluation import Evaluation, measure
from genbench.registry import datasets
from genbench.testing.toys import Affine


def test_counts_are_read_off_and_have_no_floor():
    data = datasets["gaussian"].build()
    model = Affine(data.event, data.source)
    x = torch.zeros(10, 2)
    x[4, 1] = float("inf")
    where = Evaluation(data, 0, x=x, nfe=17.5, model=model)
    rows = {name: measure(where, name, {}, True)[0] for name in ("nfe", "parameters", "failed")}
    trained = sum(p.numel() for p in model.parameters())
    assert {name: row["value"] for name, row in rows.items()} == {"nfe": 17.5, "parameters": trained, "failed": 1}
    assert all(row["floor"] is None for row in rows.values())
    frozen = next(iter(model.parameters())).requires_grad_(False)
    assert measure(where, "parameters", {}, True)[0]["value"] == trained - frozen.numel()


def test_samples_of_unknown_origin_have_failures_only():
    data = datasets["gaussian"].build()
    where = Evaluation(data, 0, x=torch.zeros(10, 2))
    assert measure(where, "failed", {}, True)[0]["value"] == 0
    for name in ("nfe", "parameters"):
        assert measure(where, name, {}, True)[0]["reason"]
