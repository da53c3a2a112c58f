"""Weights of the papers' own code, read by name into our TARFlow and STARFlow, which then give its numbers."""

from dataclasses import replace

import torch

from genbench.core import Event, Normal
from genbench.models.starflow.design import STARFLOW, TARFLOW
from genbench.models.starflow.transformer_flow import ClassEmbedding, TransformerFlow

UNUSED = ("var", "feat_rope.freqs_cos", "feat_rope.freqs_sin")
"""Buffers of that code which no result depends on: a running variance, and tables that are computed anew."""

LAYER = {
    "attention.norm": "norm1",
    "attention.qkv": "attention.qkv",
    "attention.proj": "attention.out",
    "mlp.norm": "norm2",
    "mlp.main.0": "up",
    "mlp.main.2": "down",
}


def read_official(weights, shape, patch, head):
    """Build the flow that the papers' code would build with these weights, in their precision.

    The number of blocks, layers and classes, the width and the norms follow from the weights. Blocks are stored in the
    order from data to noise; a start token marks STARFlow, whose condition is a linear map of indicators of classes.
    """
    left = {name: value for name, value in weights.items() if name not in UNUSED}
    model = _build(left, shape, patch, head)
    with torch.no_grad():
        _read(model, left, patch)
    assert not left, f"not read: {sorted(left)[:3]}"
    return model


def _build(weights, shape, patch, head):
    names = [name.split(".") for name in weights]
    count = 1 + max((int(parts[1]) for parts in names if parts[0] == "blocks"), default=-1)
    layers = [len({p[3] for p in names if p[1] == str(i) and p[2] == "attn_blocks"}) for i in range(count)]
    start = "blocks.0.sos_embed" in weights
    classes = _classes(weights, count)
    design = replace(
        STARFLOW if start else TARFLOW,
        patch=patch,
        width=len(weights["blocks.0.proj_in.bias"]),
        head=head,
        scale="unit" if _preserves_volume(weights) else "softplus" if start else "exp",
        # STARFlow's blocks alternate from a reversed one at the data, TARFlow's from one that is not.
        order=tuple("flip" if i % 2 == (0 if start else 1) else "identity" for i in reversed(range(count))),
        norm="layer" if "blocks.0.attn_blocks.0.attention.norm.bias" in weights else "rms",
        output_norm="rms" if start else None,
        rotary="literal",
        null="learned" if start else "mean",
        penalty_over="sum",
        conditional=classes > 0,
        noise=None,
    )
    default = torch.get_default_dtype()
    torch.set_default_dtype(weights["blocks.0.proj_in.bias"].dtype)  # also that of the rotary table
    try:
        return TransformerFlow(Event(shape, classes), Normal(shape), layers[::-1], design)
    finally:
        torch.set_default_dtype(default)


def _preserves_volume(weights):
    return len(weights["blocks.0.proj_out.bias"]) == weights["blocks.0.proj_in.weight"].shape[1]


def _classes(weights, count):
    text, table = f"blocks.{count - 1}.proj_txt.weight", "blocks.0.class_embed"
    if text in weights:
        return weights[text].shape[1] - 1
    return len(weights[table]) if table in weights else 0


def _read(model, weights, patch):
    for i, block in enumerate(reversed(model.flow.blocks)):
        _read_block(block, weights, f"blocks.{i}.", patch)
    deep = f"blocks.{len(model.flow.blocks) - 1}.proj_txt."
    if not isinstance(model.classes, ClassEmbedding):
        return
    if deep + "weight" in weights:
        model.classes.table.copy_(weights.pop(deep + "weight").T + weights.pop(deep + "bias"))
        return
    tables = [weights.pop(f"blocks.{i}.class_embed") for i in range(len(model.flow.blocks))]
    assert all(torch.equal(table, tables[0]) for table in tables)
    model.classes.table.copy_(tables[0][:, 0])


def _read_block(block, weights, at, patch):
    net = block.net
    size = net.proj_in.in_features
    element = torch.arange(size)
    if not block.copied:  # there: row, column, channel; here: channel, row, column
        element = element.view(patch, patch, -1).permute(2, 0, 1).flatten()
        block.start.copy_(weights.pop(at + "sos_embed")[..., element])
        net.norm.weight.copy_(1 + weights.pop(at + "final_norm.weight"))  # stored minus 1
    else:
        places = weights.pop(at + "pos_embed")
        net.position.copy_((places.flip(0) if block.flip else places)[: block.steps])
    net.proj_in.weight.copy_(weights.pop(at + "proj_in.weight")[:, element])
    net.proj_in.bias.copy_(weights.pop(at + "proj_in.bias"))
    halves = torch.cat([part * size + element for part in range(net.proj_out.out_features // size)])
    net.proj_out.weight.copy_(weights.pop(at + "proj_out.weight")[halves])
    net.proj_out.bias.copy_(weights.pop(at + "proj_out.bias")[halves])
    for j, layer in enumerate(net.layers):
        _read_layer(layer, weights, f"{at}attn_blocks.{j}.", net.architecture.positions == "rope")


def _read_layer(layer, weights, at, rotary):
    rms = isinstance(layer.norm1, torch.nn.RMSNorm)
    for theirs, ours in LAYER.items():
        for name, parameter in layer.get_submodule(ours).named_parameters():
            value = weights.pop(f"{at}{theirs}.{name}")
            if rms and ours.startswith("norm"):
                value = 1 + value  # stored minus 1
            if rotary and ours == "attention.qkv":
                value = _halves(value, layer.attention.head_dim)
            parameter.copy_(value)


def _halves(qkv, head):
    """Reorder queries and keys: there the rotated pairs are (2i, 2i + 1), here (i, i + head / 2)."""
    q, k, v = qkv.chunk(3)
    q, k = (part.unflatten(0, (-1, head // 2, 2)).transpose(1, 2).flatten(0, 2) for part in (q, k))
    return torch.cat([q, k, v])
