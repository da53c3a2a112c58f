"""What every stage, learner and model has by default."""

import torch

from genbench.core import Event, Normal
from genbench.seeds import derive
from genbench.testing.toys import AffineFlow, toy_tasks


def test_the_example_of_a_step_is_a_function_of_seed_and_step():
    model, data = AffineFlow(Event((2,)), Normal((2,))), toy_tasks()["vectors"]
    split = model.batch_source(data)
    generator = torch.Generator()

    def example(step, seed):
        generator.manual_seed(torch.randint(100, ()).item())  # whatever state the generator is in
        return model.example(split, step, 16, seed, generator)

    first = example(3, 0)
    for a, b in zip(first, example(3, 0), strict=True):
        assert torch.equal(a, b)
    for step, seed in ((4, 0), (3, 1)):
        assert not torch.equal(first[0], example(step, seed)[0])
    again = model.draw(data.train.batch(3, 16, 0), torch.Generator().manual_seed(derive(0, "train", 3)))
    assert torch.equal(first[0], again[0])
