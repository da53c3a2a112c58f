"""Executors: every cell has its reason, in order."""

from genbench.runs.make_spec import make_spec
from genbench.runs.store import Store
from genbench.sweeps.executors import execute, local


def cells():
    plans = [{"steps": 2}, {"steps": 200, "lr": 1e30}, {"steps": 3}]
    settings = {"evaluation": {"n": 16, "curve": []}}
    return [make_spec("cfm", "moons", metrics=["nfe"], settings=settings | {"plan": plan}) for plan in plans]


def test_every_cell_has_its_reason_in_order(tmp_path):
    store, heard = Store(tmp_path), []
    first, second, third = execute(cells(), store, local(store, 1), heard.append)
    assert (first, third) == (None, None)
    assert "not finite" in second
    assert sorted(event.cell for event in heard if event.kind in ("done", "failed")) == [0, 1, 2]
    assert not list(tmp_path.glob("leases/*"))
