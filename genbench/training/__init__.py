"""How weights are fitted: the loop, checkpoints, ensembles, devices."""
