"""The optimizer takes the steps of torch.optim, bit for bit."""

import pytest
import torch

from genbench.training.optimizer import Adam


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        ("adam", lambda p: torch.optim.Adam(p, betas=(0.8, 0.95), fused=True)),
        ("adamw", lambda p: torch.optim.AdamW(p, betas=(0.8, 0.95), weight_decay=0.1, fused=True)),
    ],
)
def test_it_takes_the_steps_of_torch(kind, theirs):
    nets = [torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)]
    nets[1].load_state_dict(nets[0].state_dict())
    ours = Adam(list(nets[0].parameters()), kind, betas=(0.8, 0.95), weight_decay=0.1)
    reference = theirs(nets[1].parameters())
    for step in range(20):
        lr = 0.1 / (step + 1)
        x = torch.randn(7, 5)
        for net in nets:
            y = net.weight @ x.T if step < 3 else net(x)  # the bias has no gradient in the first steps
            y.square().mean().backward()
        ours.step(lr)
        for group in reference.param_groups:
            group["lr"] = lr
        reference.step()
        reference.zero_grad()
    for own, other in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(own, other)
        assert own.grad is None
