"""TARFlow and STARFlow: two sets of settings of the transformer flow."""

from genbench.core import Event, Source
from genbench.models.starflow.design import (
    PLAN,
    STARFLOW,
    TARFLOW,
    Design,
    StarflowBlocks,
    TarflowBlocks,
    starflow_blocks,
    tarflow_blocks,
)
from genbench.models.starflow.transformer_flow import TransformerFlow
from genbench.registry import models


@models.register("tarflow", version=2, plan=PLAN)
def tarflow(event: Event, source: Source, *, blocks: TarflowBlocks = None, design: Design = TARFLOW) -> TransformerFlow:
    """Autoregressive transformer flow of equal blocks, with an exact likelihood (TARFlow).

    Zhai et al., 2024, "Normalizing flows are capable generative models", https://arxiv.org/abs/2412.06329.
    All blocks share one table of label embeddings.
    """
    return TransformerFlow(event, source, blocks or tarflow_blocks(event), design)


@models.register("starflow", version=2, plan=PLAN)
def starflow(
    event: Event, source: Source, *, blocks: StarflowBlocks = None, design: Design = STARFLOW
) -> TransformerFlow:
    """Deep-shallow autoregressive transformer flow, with an exact likelihood (STARFlow).

    Gu et al., 2025, "STARFlow: scaling latent normalizing flows for high-resolution image synthesis",
    https://arxiv.org/abs/2506.06276. Norms, rotary pairs, the null label and the penalty are by default those of the
    paper's code.
    """
    return TransformerFlow(event, source, blocks or starflow_blocks(event), design)
