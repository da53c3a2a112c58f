"""The small classifier of 8x8 digits as an extractor."""

from genbench.core import Data
from genbench.metrics.classifiers.digits_cnn import Classifier, classifier
from genbench.registry import extractors


@extractors.register("digits_cnn", version=1)
def digits_cnn(data: Data) -> Classifier:
    """A small classifier of 8x8 digits, trained once on the training split: 64 features."""
    return classifier(data)
