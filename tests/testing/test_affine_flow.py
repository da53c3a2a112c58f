import torch

from genbench.core import Event, Normal
from genbench.testing.affine_flow import AffineFlow


def test_the_velocity_is_that_of_straight_paths():
    model = AffineFlow(Event((2,)), Normal((2,)))
    x0 = torch.randn(5, 2)
    end = model.sample(x0).x
    for t in (0.0, 0.3, 1.0):
        on_path = (1 - t) * x0 + t * end
        torch.testing.assert_close(model.velocity(torch.tensor(t), on_path), end - x0)
