"""The environment variables by which torchrun tells a process its place; they are checked before torch is imported."""

import os
import re

from genbench.errors import ConfigError


def by_torchrun() -> bool:
    """Return whether torchrun has started this process."""
    return "LOCAL_WORLD_SIZE" in os.environ


def local_rank() -> int:
    """Return which process of this machine this is; 0 without the variables.

    Raises:
        ConfigError: if one of them is not a whole number.
    """
    for name in ("RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE"):  # refused here, before torch is imported
        variable(name, "0")
    return variable("LOCAL_RANK", "0")


def variable(name: str, default: str = "") -> int:
    """Return the value of a variable that torchrun sets. Raises ConfigError if it is not a whole number."""
    value = os.environ.get(name, default)
    if not value.isdecimal():
        raise ConfigError(f"{name}={value or 'unset'} is not a whole number: start with torchrun, or unset {name}")
    return int(value)


def require_one_task(command: str) -> None:
    """Check that this process is not one of several tasks of srun, each of which would repeat the whole run.

    Raises:
        ConfigError: if it is; the message gives the command that lets the tasks share the run.
    """
    found = os.environ.get("SLURM_STEP_NUM_TASKS", "")  # tasks of this job step: a script of sbatch is one task
    tasks = int(found) if found.isdecimal() else 1
    if tasks == 1 or by_torchrun():
        return
    found = os.environ.get("SLURM_NNODES", "")
    nodes = int(found) if found.isdecimal() and int(found) else 1
    command = re.sub(r" --devices[ =]\d+", "", command)
    if nodes == 1:
        better = f"srun --ntasks=1 {command} --devices {tasks}"
    else:
        better = (
            f"srun --ntasks={nodes} --ntasks-per-node=1 torchrun --nnodes={nodes} --nproc-per-node={tasks // nodes} "
            f"--rdzv-backend=c10d --rdzv-endpoint=$(hostname):29500 --no-python {command}"
        )
    raise ConfigError(
        f"{tasks} tasks of Slurm would each do the whole run; to share the run, type: {better}; if each task has its"
        " own run, such as another seed, unset SLURM_STEP_NUM_TASKS in each task first"
    )
