# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---
# %% [markdown]
# # Add a method
#
# OT-CFM solves an assignment for each batch. A cheaper idea is to project noise and data onto one random direction, sort
# both, and pair equal ranks. Along that direction, this pairing is optimal transport, and it costs only a sort. This
# page turns the idea into a method, checks it, and compares it with CFM and OT-CFM.
#
# A method of flow matching is a *coupling*: a function of a batch of noise and a batch of data that returns pairs and
# their weights. All methods share everything else (network, training, solver, metrics). The function `sliced_cfm` below
# builds the model: its keyword-only arguments are the settings of the method, and `genbench show` prints its docstring.

# %%
# %%writefile sliced_coupling.py
"""Flow matching on pairs of equal rank along random directions."""

import torch

from genbench.models.flow_matching.couplings.base import Coupling, Pairs
from genbench.models.flow_matching.velocity_model import FlowMatching
from genbench.models.flow_matching.pair_model import DEFAULTS
from genbench.models.flow_matching.paths import Straight
from genbench.registry import couplings, models
from genbench.settings import NonNegative


class Sliced(Coupling):
    """Pair noise and data by rank along one random direction per batch."""

    def forward(self, x0, x1, label, generator):
        """Return noise in the order of its data; every pair has weight 1."""
        direction = torch.randn(x0.flatten(1).shape[1], generator=generator, device=x0.device)
        rank0, rank1 = ((x.flatten(1) @ direction).argsort() for x in (x0, x1))
        paired = torch.empty_like(x0)
        paired[rank1] = x0[rank0]
        return Pairs(paired, x0.new_ones(len(x0)))


@couplings.register("sliced", version=1)
def sliced(event, classes) -> Sliced:
    """Pairs of equal rank along random directions."""
    return Sliced()


@models.register("sliced-cfm", version=1)
def sliced_cfm(event, source, *, sigma: NonNegative = 0.0) -> FlowMatching:
    """Flow matching on pairs of equal rank along random directions.

    Args:
        sigma: standard deviation of the noise around the straight path.
    """
    return FlowMatching(event, source, net=None, coupling=Sliced(), path=Straight(sigma), shared=DEFAULTS)


# %% [markdown]
# The model is flow matching on these pairs. The coupling is registered as well, so other methods can use it. On the
# command line, write `--model meanflow --set model.coupling=sliced_coupling.py`; in the same Python session,
# `meanflow` takes `model.coupling=sliced`.
#
# ## Check it
#
# `genbench check` runs the conformance tests that the models of genbench pass themselves; for a model with a network,
# they take a minute or two. The loss is a pure function of its tensors, gradients reach every parameter, sampling is
# deterministic, shapes and labels are right.
#
# ```sh
# genbench check sliced_coupling.py
# ```
#
# The test of the idea itself is yours to write. Here, the mean squared distance of pairs of equal rank must not exceed
# the distance of independent pairs, and must not be below the distance of the optimal plan.

# %%
import torch

import sliced_coupling
from genbench.models.flow_matching.couplings.minibatch_ot import MinibatchOT
from genbench.registry import datasets

data = datasets["8gaussians"].build()
generator = torch.Generator().manual_seed(0)
x0, x1 = data.source.sample(512, generator), data.train.batch(0, 512, 0).x


def mean_square(coupling):
    return (coupling(x0, x1, None, generator).x0 - x1).square().sum(1).mean().item()


independent = (x0 - x1).square().sum(1).mean().item()
sliced, optimal = mean_square(sliced_coupling.Sliced()), mean_square(MinibatchOT())
assert optimal <= sliced <= independent
optimal, sliced, independent

# %% [markdown]
# ## Compare it
#
# In the session that imported the module, the name `sliced-cfm` works like any other method.

# %%
import genbench

settings = {"plan": {"steps": 400}, "evaluation": {"n": 1024, "curve": []}}
for model in ["cfm", "sliced-cfm", "otcfm"]:
    for seed in range(3):
        genbench.run(model, "8gaussians", seed=seed, metrics=["energy_distance", "straightness"], settings=settings)

table = genbench.table()
table.pivot(index="model", columns="metric", values=["value", "se"]).round(4)

# %% [markdown]
# Three seeds and 400 steps are a first look, not a result: use more of both before you claim anything, and read
# [the footguns](../faq.md).
#
# ## Use it everywhere
#
# On the command line and in suites, name the file and the method: `--model sliced_coupling.py:sliced-cfm`. Records name
# the file by a hash of its content, so results of a changed file never mix with older results. To share the method
# under the name `sliced-cfm`, put the module into a package with an entry point, and install it:
#
# ```toml
# [project.entry-points."genbench.models"]
# sliced-cfm = "sliced_coupling"
# ```
#
# In a package, raise `version` whenever the same settings would give other numbers: results of the old version then
# count as outdated. [A method in 30 lines](../new_method.md) shows a model other than flow matching.
