"""Importing this leaves the pictures of runs empty: drawn, each takes as long as everything else in a small run.

Tests of pictures draw them.
"""

from PIL import Image

from genbench.runs.monitoring import sample_files

DRAW = sample_files.sample_picture


class Empty:
    def savefig(self, place, **_):
        Image.new("RGBA", (96, 32)).save(place, "PNG")


sample_files.sample_picture = lambda evaluation, data: Empty()
