"""The elbow rule of W-CFM: the smallest kappa above which the tilt of its weights hardly falls.

    python -m benchmarks.elbow 8gaussians moons    # writes results/tuning/wcfm-on-DATA-by-elbow.json

With `--set`, the file name ends in a hash of the settings, so that no other file is overwritten. Nothing is trained
except the encoder of a latent model.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.cli.options import stdout
from genbench.errors import ConfigError, RunFailed
from genbench.models.build import build_model
from genbench.models.flow_matching.couplings.wcfm_weights import FLAT, GRID, Gibbs, elbow
from genbench.models.flow_matching.velocity_model import FlowMatching
from genbench.numerics.weighted_pairs import Tilt
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.formats.terminal import show
from genbench.runs.make_spec import make_spec
from genbench.runs.run import learn_from_prerequisites
from genbench.runs.spec import Spec, build_data, without_folders
from genbench.runs.store import Store, writable_store
from genbench.settings import Settings
from genbench.storage import files
from genbench.sweeps.set_options import parse_set_options


@dataclass(frozen=True)
class Elbow:
    """The result of the elbow rule.

    Args:
        spec: the model and the data.
        dims: number of dimensions of the data that the model pairs with noise; with an encoder, of its latents.
        curve: (kappa, tilt), with kappa = epsilon / sqrt(dims).
        chosen: the smallest kappa above which the relative variance is flat.
    """

    spec: Spec
    dims: int
    curve: tuple[tuple[float, Tilt], ...]
    chosen: float

    def table(self) -> Table:
        """Return the curve as a table."""
        root, rows = math.sqrt(self.dims), []
        for kappa, tilt in self.curve:
            numbers = (tilt.source, tilt.data, tilt.share) if tilt.known else (None,) * 3
            cells = [Cell(text="-" if number is None else f"{number:.3g}") for number in numbers]
            mark = "chosen" if kappa == self.chosen else ""
            rows.append(Row(f"{kappa:.4g}", (Cell(text=f"{kappa * root:.4g}"), *cells, Cell(text=mark))))
        legend = (
            "Relative variance Var/E^2 of the tilts of source and data, and ESS as a share of pairs, "
            f"from {self.curve[0][1].pairs} independent pairs of noise and training data.",
            "Chosen: the smallest kappa above which every doubling lowers the larger of both variances by at most "
            f"{FLAT:g}. -: too few pairs carry weight for an estimate.",
        )
        columns = tuple(Column(name) for name in ("epsilon", "tilt of source", "tilt of data", "ess", ""))
        title = f"Tilt of {self.spec.model['name']} on {self.spec.data_label}"
        return Table(title, columns, tuple(rows), legend, head="kappa")

    def json(self) -> dict[str, Any]:
        """Return plain JSON."""
        curve = [{"kappa": kappa, **tilt._asdict(), "known": tilt.known} for kappa, tilt in self.curve]
        parts = {
            "rule": "elbow",
            "data": without_folders(self.spec.json())["data"],
            "model": self.spec.model,
            "encoder": self.spec.encoder,
            "flat": FLAT,
        }
        return parts | {"curve": curve, "chosen": {"kappa": self.chosen}}


def by_elbow(
    model: str,
    dataset: str,
    settings: Settings,
    grid: Sequence[float] = GRID,
    *,
    store: Store | None = None,
) -> Elbow:
    """Choose the smallest kappa above which the relative variance of the tilt is flat, without training.

    It is flat if no doubling of kappa lowers it by more than FLAT. The rule uses the larger of the two tilts, of source
    and of data.

    Args:
        model: a model whose pairs have the weights exp(-cost / epsilon).
        dataset: its training split is used.
        store: holds the encoder of a latent model, which is trained there if it is missing.

    Raises:
        ConfigError: if the model has no such weights, or the curve is not flat at the end of the grid.

    Reference: Weighted conditional flow matching, 2025.
    """
    given = {"kappa", "epsilon"} & settings.get("model", {}).keys()
    if given:
        raise ConfigError(f"model.{min(given)} is chosen by the elbow rule: omit it")
    spec = make_spec(model, dataset, metrics=[], settings=settings)
    data = build_data(spec.data)
    built = build_model(spec.model, spec.encoder, data)
    if spec.prerequisites:
        if store is None:
            raise ConfigError("the elbow rule among latents needs a results folder for their encoder")
        learn_from_prerequisites(spec, built, store, data)
        built.prepare(data, 0)
        built, data = built.within(data)
    coupling = built.coupling if isinstance(built, FlowMatching) else None
    if not isinstance(coupling, Gibbs) or built.conditional:
        raise ConfigError(f"the elbow rule is for wcfm without labels, not for {model}")
    curve = coupling.tilt_curve(data, grid)
    chosen = elbow([(kappa, found.variance) for kappa, found in curve if found.known])
    if chosen is None:
        raise ConfigError(
            f"the tilt of {model} on {dataset} is not flat up to kappa {curve[-1][0]:g}: add larger values"
        )
    return Elbow(spec, data.event.dims, curve, chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the curve of each data set, write it, and return the exit code: 0 done, 1 a run failed, 2 wrong request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.NAME=VALUE")
    given = parser.parse_args(arguments)
    try:
        settings, store = parse_set_options(given.settings), writable_store(given.results / "tuning")
        for dataset in given.datasets:
            found = by_elbow("wcfm", dataset, settings, store=store)
            show([found.table()], stdout())
            mark = f"-{found.spec.train_key[:8]}" if settings else ""
            path = store.root / f"wcfm-on-{dataset}-by-elbow{mark}.json"
            files.write(path, json.dumps(found.json(), indent=1) + "\n")
    except (ConfigError, RunFailed) as error:
        print(f"elbow: {error}", file=sys.stderr)
        return 1 if isinstance(error, RunFailed) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
