"""Analysis: the values of many runs, their statistics, comparisons of models, the runs of tracks."""
