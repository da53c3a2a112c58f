"""Class balance: the classes that a classifier recognizes in generated images, compared with those of the data."""

import torch
from jaxtyping import Int
from torch import Tensor

from genbench.metrics.classifiers.digit_classifiers import digit_classifier
from genbench.metrics.evaluation import Evaluation, Value, standard_error, wilson
from genbench.metrics.image.feature_sets import sample_features
from genbench.registry import metrics
from genbench.settings import Count


@metrics.register("class_balance", version=2, better="higher", of="samples", halves=True)
def class_balance(evaluation: Evaluation, *, n: Count | None = None) -> list[Value]:
    """1 minus the total variation distance between the classes of samples and of test data, with `accuracy`.

    Classes of samples are those that a classifier predicts, those of test data are its labels. `accuracy` is the share
    of samples that are recognized as the class they were generated for; its floor is that of test images. The floor of
    the balance is that of training images: it includes the fluctuation of counts, but hardly errors of the classifier,
    which was trained on them.

    Args:
        n: number of samples; by default all.
    """
    network = digit_classifier(evaluation.data)
    images = evaluation.decoded(n or len(evaluation.x))
    test, classes = evaluation.data.test, evaluation.data.event.classes
    label = evaluation.reference(test.size or len(images)).label
    features = sample_features(evaluation, network, len(images))
    confidence, predicted = network.logits(features).softmax(1).max(1)
    name = f"seen by {network.name} {network.sha256[:8]}"
    details = {"confidence": float(confidence.mean()), "classifier_accuracy": network.test_accuracy}
    protocol = f"classes {name}, n={len(images)} against {len(label)} test labels"
    values = [Value(balance(predicted, label, classes), len(images), protocol, details=details)]
    if evaluation.label is not None:
        correct = predicted == evaluation.label[: len(images)]
        accuracy = float(correct.double().mean())
        error = standard_error(correct) | wilson(accuracy, len(correct))
        floor = network.test_accuracy
        values.append(Value(accuracy, len(images), f"class {name}", "accuracy", floor, details=error))
    return values


def balance(predicted: Int[Tensor, " n"], label: Int[Tensor, " m"], classes: int) -> float:
    """Return 1 minus the total variation distance between two samples of classes."""
    shares = [torch.bincount(each, minlength=classes).double() / len(each) for each in (predicted, label)]
    return 1 - float((shares[0] - shares[1]).abs().sum()) / 2
