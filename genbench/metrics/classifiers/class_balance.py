"""What a classifier makes of generated images: which classes there are, and whether they are those asked for."""

import torch

from genbench.metrics.classifiers.digits_cnn import classifier
from genbench.metrics.evaluation import Evaluation, Value
from genbench.registry import metrics
from genbench.settings import Count


@metrics.register("class_balance", version=1, better="higher", of="samples")
def class_balance(evaluation: Evaluation, *, n: Count | None = None) -> list[Value]:
    """How far the classes of samples come in the data's proportions, with `accuracy` if they were asked for.

    1 minus the total variation between the classes that a classifier sees in the samples and the labels of the test
    split; `accuracy` is the share of samples that it sees as the class that was asked for. The classifier's own
    errors, and the fluctuation of counts, are in the floor.

    Args:
        n: samples; by default all there are.

    Raises:
        Unsupported: if there is no classifier for the data.
    """
    judge = classifier(evaluation.data)
    images = evaluation.decoded(n or len(evaluation.x))
    test, classes = evaluation.data.test, evaluation.data.event.classes
    label = evaluation.reference(test.size or len(images)).label
    probability = torch.cat([judge.probabilities(part) for part in images.split(256)])
    confidence, seen = probability.max(1)
    shares = [torch.bincount(each, minlength=classes).double() / len(each) for each in (seen, label)]
    protocol = f"classes seen by {judge.name} {judge.sha256[:8]}, n={len(images)} against {len(label)} test labels"
    details = {"confidence": float(confidence.mean()), "classifier_accuracy": judge.accuracy}
    balance = 1 - float((shares[0] - shares[1]).abs().sum()) / 2
    values = [Value(balance, len(images), protocol, details=details)]
    if evaluation.label is not None:
        right = float((seen == evaluation.label[: len(images)]).double().mean())
        values.append(Value(right, len(images), f"class seen by {judge.name} {judge.sha256[:8]}", part="accuracy"))
    return values
