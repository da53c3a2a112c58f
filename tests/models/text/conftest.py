import pytest
import torch
from helpers.toy_captions import save_text_encoder


@pytest.fixture(scope="session")
def t5(tmp_path_factory):
    """A whole T5, encoder and decoder."""
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(vocab_size=10, d_model=12, d_kv=4, d_ff=16, num_layers=2, num_heads=2, decoder_start_token_id=0)
    return save_text_encoder(tmp_path_factory.mktemp("t5"), T5ForConditionalGeneration(config))
