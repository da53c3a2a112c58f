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
# genbench eval samples.npy --dataset moons --metric w2 --metric energy_distance --metric sliced_w2 --full

# %% [markdown]
# Each row has a **value** and its **floor**; `--full` adds a line with its **protocol**. The floor is training data
# measured against the same held-out data: the score of a perfect sampler at this number of samples. The floor of W2 is
# far from 0, because 2,048 points never match another 2,048 points exactly. The energy distance is unbiased, so its
# floor is about 0 and may be negative.
#
# ## The number of samples is part of the protocol
#
# With only 256 of the same samples, W2 grows, and so does its floor. So compare neither values nor distances to the
# floor at different *n*.

# %% language="bash"
# genbench eval samples.npy --dataset moons --metric w2 --set metric.w2.n=256 --full

# %% [markdown]
# ## Beside trained models
#
# Train a model on the same data, then ask for the same metrics at the same *n*. Compare only values with equal
# protocols.

# %% language="bash"
# genbench run --model otcfm --dataset moons --set plan.steps=500 --metric w2 --metric energy_distance \
#   --set 'evaluation.curve=[]' --full 2>/dev/null

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
# `genbench eval` also takes a folder or an archive of images, or an `.npz` of uint8 images. Metrics such as FID
# download their network once ([Measure images](../image_metrics.md)).
#
# ```sh
# genbench eval path/to/images --dataset cifar10 --metric fid-clean --metric precision_recall
# ```
#
# Avoid three mistakes. Samples must be on the scale of the raw data (here, not standardized). They must not be selected
# or redrawn. There must be as many as the published protocol states.
