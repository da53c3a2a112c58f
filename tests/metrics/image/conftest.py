import pytest
from helpers.pixel_features import PixelExtractor, normal_images, task

from genbench.registry import extractors


@pytest.fixture(autouse=True)
def _pixels(own_home):
    """Register the extractor "pixels", and start with an empty cache."""
    extractors.register("pixels", version=1)(lambda data: PixelExtractor())
    PixelExtractor.batches.clear()
    yield
    del extractors._entries["pixels"]


@pytest.fixture(scope="module")
def data():
    return task(normal_images(3000, 1), normal_images(1000, 2))
