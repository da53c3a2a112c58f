#!/bin/bash
# One cell a task of a Slurm array. On the login node, from the folder in which the results are to be:
#
#   genbench sweep synthetic --commands > commands.txt
#   sbatch --array=1-$(wc -l < commands.txt)%32 benchmarks/array.sh commands.txt
#   genbench sweep synthetic          # when it is done: what is still missing, and the tables
#
# A task that is killed and requeued goes on from its last checkpoint; so does one that ran out of time and is
# submitted again. The same without Slurm, four at a time:
#
#   tr '\n' '\0' < commands.txt | xargs -0 -n 1 -P 4 sh -c
#SBATCH --job-name=genbench
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
set -euo pipefail
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
eval "exec $(sed -n "${SLURM_ARRAY_TASK_ID}p" "$1")"
