"""The variables of torchrun."""

import pytest

from genbench.errors import ConfigError
from genbench.training.torchrun_variables import local_rank, require_one_task


def test_the_rank_is_that_of_torchrun_and_0_without_it(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert local_rank() == 0
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert local_rank() == 3
    for value in ("", "-1", "1.0", "x", " 1"):
        monkeypatch.setenv("WORLD_SIZE", value)
        with pytest.raises(ConfigError, match=r"WORLD_SIZE=.*is not a whole number"):
            local_rank()


RUN = "genbench run --model cfm --dataset moons"
SEVERAL_NODES = "srun --ntasks=2 --ntasks-per-node=1 torchrun --nnodes=2 --nproc-per-node=4 --rdzv-backend=c10d"


@pytest.mark.parametrize(
    ("variables", "typed"),
    [
        ({"SLURM_STEP_NUM_TASKS": "8"}, f"srun --ntasks=1 {RUN} --devices 8;"),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_NNODES": "2"}, SEVERAL_NODES),
        ({"SLURM_NTASKS": "8"}, ""),  # a script of sbatch
        ({"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "1"}, ""),
        ({"SLURM_STEP_NUM_TASKS": "8", "LOCAL_WORLD_SIZE": "4"}, ""),
        ({}, ""),
    ],
)
def test_tasks_of_srun_that_would_each_do_all_are_refused_with_the_command_to_type(monkeypatch, variables, typed):
    for name in ("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_NNODES", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"SLURM_PROCID": "0"} | variables).items():
        monkeypatch.setenv(name, value)
    if not typed:
        require_one_task(RUN)
        return
    for command in (RUN, f"{RUN} --devices 4", f"{RUN} --devices=4"):
        with pytest.raises(ConfigError, match=r"8 tasks of Slurm would each do the whole run") as refused:
            require_one_task(command)
        assert typed in str(refused.value)
        assert RUN in str(refused.value)
        assert "--devices 4" not in str(refused.value)
    assert str(refused.value).endswith("unset SLURM_STEP_NUM_TASKS in each task first")
