# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---
# %% [markdown]
# # A sweep on a cluster
#
# Any number of processes, on one machine or on many, can work on one sweep: they share a results folder, and reserve
# each run there by a lease. This page shows how, on one machine: two workers share a sweep, one of them is killed, and
# the other one finishes it with the same numbers.

# %%
suite = """
datasets = ["moons"]
models = ["cfm", { name = "wcfm", kappa = 0.5 }]
metrics = ["energy_distance"]
seeds = [0, 1]

[plan]
steps = 400

[evaluation]
n = 512
curve = []
"""
with open("cluster.toml", "w") as file:
    file.write(suite)

# %% language="bash"
# genbench sweep cluster.toml --dry-run 2>/dev/null

# %% [markdown]
# ## Two workers, one of them killed
#
# Each worker skips the cells (one model, data set and seed) that the other worker holds or has finished. The first
# worker is killed without warning as soon as one cell is done; the second takes over its lease and finishes the sweep.

# %% language="bash"
# genbench sweep cluster.toml > first.log 2>&1 & first=$!
# genbench sweep cluster.toml > second.log 2>&1 & second=$!
# until grep -q "[1-4] of 4 done" first.log second.log || ! kill -0 $first; do sleep 0.1; done
# kill -9 $first
# echo "first worker killed; the second one:"
# wait $second
# grep -h " done" second.log | cut -c 10-
# genbench results status

# %% [markdown]
# The exit code of `sweep` is 0 if every cell is done, and 1 if a cell failed. `genbench results status` names failed
# cells, and the same sweep runs them again.
#
# ## The same numbers
#
# Results do not depend on which worker ran a cell or how often it was interrupted. Here is the same suite in another
# folder, without interruptions:

# %%
import genbench

genbench.sweep("cluster.toml", results="again")
interrupted, uninterrupted = (
    genbench.frame(folder).set_index(["model", "seed", "metric"]).value.sort_index() for folder in ("results", "again")
)
assert interrupted.equals(uninterrupted)
interrupted

# %% [markdown]
# ## Slurm
#
# Every task of an array runs the same sweep, as the two workers above. A task that is killed and requeued goes on from
# the last checkpoint of its cell. Without Slurm, start the same command on every machine.
#
# ```sh
# sbatch --array=1-32 --gres=gpu:1 --requeue --signal=TERM@120 --wrap \
#   "srun genbench sweep suite.toml --results /shared/results"
# ```
#
# If `srun` starts several tasks with the same `genbench run`, each would do the whole run. genbench refuses this, and
# prints the command with which the tasks share the run. For a different run in each task, unset a variable first:
#
# ```sh
# srun -n 8 bash -c 'unset SLURM_STEP_NUM_TASKS; genbench run --model cfm --dataset moons --seed $SLURM_PROCID'
# ```
#
# ## Without a shared folder
#
# Give each machine its own folder, and merge the folders afterwards. If a record differs from one that you have,
# genbench reports it and keeps yours:
#
# ```sh
# genbench results merge from-node-1 from-node-2
# genbench verify --sample 5
# ```
#
# [Run sweeps](../sweeps.md) has the details.
