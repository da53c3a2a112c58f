# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---
# %% [markdown]
# # Evaluate your own samples
#
# genbench measures samples that it did not make: save them as an array and name the data set to compare with. Here the
# "model" is a kernel density estimate of 500 training points of *moons*, as if it came from another code base.

# %%
import numpy as np

from genbench.registry import datasets

data = datasets["moons"].build()
train = data.train.batch(0, 500, 0).x.numpy()
random = np.random.default_rng(0)
samples = train[random.integers(len(train), size=2048)] + 0.15 * random.normal(size=(2048, 2))
np.save("samples.npy", samples)

# %% language="bash"
# genbench eval samples.npy --dataset moons --metric w2 --metric energy_distance --metric sliced_w2

# %% [markdown]
# Each row has a **value**, its **floor** and its **protocol**. The floor is training data measured against the same held-out
# data: the score of a perfect sampler at this number of samples. W2 is far from 0 even for a perfect sampler, because 2,048
# points never match another 2,048 exactly; the energy distance is unbiased, so its floor is about 0 and may be negative.
#
# ## The number of samples is part of the protocol
#
# With only 256 of the same samples, W2 grows, and so does its floor. Neither values nor distances to the floor are
# comparable at different *n*.

# %% language="bash"
# genbench eval samples.npy --dataset moons --metric w2 --set metric.w2.n=256

# %% [markdown]
# ## Beside trained models
#
# Train a model on the same data, then ask for the same metrics at the same *n*. Only rows with equal protocols compare.

# %% language="bash"
# genbench run --model otcfm --dataset moons --set plan.steps=500 --metric w2 --metric energy_distance \
#   --set 'evaluation.curve=[]' 2>/dev/null

# %% [markdown]
# ## From Python
#
# `--json` prints the record: value, floor, n, protocol, and where the samples came from.

# %%
import json
import subprocess

command = "genbench eval samples.npy --dataset moons --metric energy_distance --json"
record = json.loads(subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout)
{row["metric"]: (row["value"], row["floor"]) for row in record["results"]}

# %% [markdown]
# ## Images
#
# A folder, an archive or an `.npz` of uint8 images works the same way; FID and its relatives download their network
# once ([Measure images](../image_metrics.md)).
#
# ```sh
# genbench eval path/to/images --dataset cifar10 --metric fid-clean --metric precision_recall
# ```
#
# Avoid three mistakes: samples in another space than the raw data (here, the points must not be standardized), samples
# that were selected or redrawn, and fewer samples than the published protocol states.
