"""Training: the loop, its state and its steps, checkpoints, ensembles, groups of processes."""
