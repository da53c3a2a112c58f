"""Cost, tilt and time of pairs from large entropic plans, without training.

The plans lead from N(0, I) to N(1, I/4) in 8 dimensions.

    python -m benchmarks.entropic_pairs

Prints the table of results/couplings_large.md: the mean squared distance of a pair, relative to the squared
2-Wasserstein distance of source and data.
"""

import time

import torch

from genbench.analysis.means import mean_and_half
from genbench.models.flow_matching.couplings.base import Coupling
from genbench.models.flow_matching.couplings.entropic import Entropic, EntropicSettings
from genbench.models.flow_matching.couplings.minibatch_ot import MinibatchOT
from genbench.registry import datasets
from genbench.seeds import generator

BATCH = 256
DRAWS = {256: 40, 1024: 20, 4096: 4, 16384: 1}
"""Number of points, and number of repetitions."""

CHOICES: list[tuple[str, Coupling, tuple[int, ...]]] = [
    ("exact", MinibatchOT(), (256, 1024, 4096)),
    *(
        (f"entropic, epsilon {epsilon:g}", Entropic(EntropicSettings(epsilon=epsilon)), sizes)
        for epsilon, sizes in ((0.3, tuple(DRAWS)), (0.1, tuple(DRAWS)), (0.03, (256,)))
    ),
    *(
        (f"epsilon 0.1, penalty {penalty:g}", Entropic(EntropicSettings(penalty=penalty)), (1024, 4096))
        for penalty in (10.0, 1.0, 0.3)
    ),
]


def main() -> None:
    """Measure every choice on points of seeds of their own, and print a table."""
    data = datasets["gaussian"].build(dims=8, mean=1.0, std=0.5)
    print("| plan | points | pair cost / W2² | tilt of source | tilt of data | s per 256 pairs |")
    print("|---|---|---|---|---|---|")
    best = data.truth.w2_squared()
    for name, coupling, sizes in CHOICES:
        for n in sizes:
            costs, tilts, began = [], [], time.perf_counter()
            for draw in range(DRAWS[n]):
                x1 = data.train.batch(draw, n, 1).x
                pairs = coupling(data.source.sample(n, generator(1, "noise", draw)), x1, None, generator(1, "pairs"))
                costs.append((pairs.weight * (pairs.x0 - x1).square().sum(1)).mean())
                tilts.append(torch.zeros(2) if pairs.tilt is None else pairs.tilt.mean(0))
            seconds = (time.perf_counter() - began) / DRAWS[n] / n * BATCH
            source, target = torch.stack(tilts).mean(0).tolist()
            cost = torch.stack(costs)
            _, half = mean_and_half((cost / best).tolist())
            error = "" if half is None else f" ± {half:.3f}"
            print(
                f"| {name} | {n:,} | {float(cost.mean()) / best:.3f}{error} | {source:.4f} | {target:.4f} "
                f"| {seconds:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
