"""The elbow rule of W-CFM: the smallest kappa above which the tilt of its weights hardly falls.

    python -m benchmarks.elbow 8gaussians moons    # writes results/tuning/wcfm-on-DATA-by-elbow.json

With `--set`, the file name ends in a hash of the settings, so that no other file is overwritten. Nothing is trained
except the encoder of a latent model.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.errors import ConfigError, RunFailed
from genbench.models.build import build_model
from genbench.models.flow_matching.couplings.wcfm_weights import FLAT, GRID, Gibbs, elbow
from genbench.models.flow_matching.velocity_model import FlowMatching
from genbench.numerics.weighted_pairs import Tilt
from genbench.runs.make_spec import make_spec
from genbench.runs.run import learn_from_prerequisites
from genbench.runs.spec import Spec, build_data, without_folders
from genbench.runs.store import Store, writable_store
from genbench.settings import Settings
from genbench.storage import files
from genbench.sweeps.set_options import parse_set_options

CHOSEN = {"kappa", "epsilon"}
"""Settings of the model that the rule chooses; the curve does not depend on them."""


@dataclass(frozen=True)
class Elbow:
    """The result of the elbow rule.

    Args:
        chosen: the smallest kappa above which the relative variance is flat.
    """

    spec: Spec
    curve: tuple[tuple[float, Tilt], ...]
    chosen: float

    def json(self) -> dict[str, Any]:
        """Return plain JSON."""
        curve = [{"kappa": kappa, **tilt._asdict(), "known": tilt.known} for kappa, tilt in self.curve]
        model = {name: value for name, value in self.spec.model.items() if name not in CHOSEN}
        parts = {
            "rule": "elbow",
            "data": without_folders(self.spec.json())["data"],
            "model": model,
            "encoder": self.spec.encoder,
            "flat": FLAT,
        }
        return parts | {"curve": curve, "chosen": {"kappa": self.chosen}}


def by_elbow(dataset: str, settings: Settings, grid: Sequence[float] = GRID, *, store: Store | None = None) -> Elbow:
    """Choose the smallest kappa above which the relative variance of the tilt is flat, without training.

    It is flat if no doubling of kappa lowers it by more than FLAT. The rule uses the larger of the two tilts, of source
    and of data.

    Args:
        store: holds the encoder of a latent model, which is trained there if it is missing.

    Raises:
        ConfigError: if the model has labels, or the curve is not flat at the end of the grid.

    Reference: Weighted conditional flow matching, 2025.
    """
    given = CHOSEN & settings.get("model", {}).keys()
    if given:
        raise ConfigError(f"model.{min(given)} is chosen by the elbow rule: omit it")
    spec = make_spec("wcfm", dataset, metrics=[], settings=settings)
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
        raise ConfigError("the elbow rule is for wcfm without labels")
    curve = coupling.tilt_curve(data, grid)
    chosen = elbow([(kappa, found.variance) for kappa, found in curve if found.known])
    if chosen is None:
        raise ConfigError(f"the tilt on {dataset} is not flat up to kappa {curve[-1][0]:g}: add larger values")
    return Elbow(spec, curve, chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the curve of each data set, and return the exit code: 0 done, 1 a run failed, 2 wrong request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.NAME=VALUE")
    given = parser.parse_args(arguments)
    try:
        settings, store = parse_set_options(given.settings), writable_store(given.results / "tuning")
        for dataset in given.datasets:
            found = by_elbow(dataset, settings, store=store)
            print(f"{dataset}: kappa {found.chosen:g}")
            mark = f"-{found.spec.train_key[:8]}" if settings else ""
            path = store.root / f"wcfm-on-{dataset}-by-elbow{mark}.json"
            files.write(path, json.dumps(found.json(), indent=1) + "\n")
    except (ConfigError, RunFailed) as error:
        print(f"elbow: {error}", file=sys.stderr)
        return 1 if isinstance(error, RunFailed) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
