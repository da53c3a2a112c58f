"""Importing this makes the pictures of runs small: at full size, each takes as long as everything else in a small run.

Tests of pictures restore the full size.
"""

from genbench.runs.monitoring import sample_files

FULL, sample_files.TILE = sample_files.TILE, 96
