"""A few captions, small flows conditioned on them, and pretrained text encoders with random weights."""

import torch

from genbench.core import Event, Normal
from genbench.metrics.sampling import noise
from genbench.models.text_encoder import TEXT
from genbench.registry import models
from genbench.settings import bind, call

CAPTIONS = ("a cat", "a big cat", "the dog, small", "a dog")
EVENT = Event((1, 4, 4), classes=4, captions=CAPTIONS)
SMALL = {"patch": 2, "width": 32, "head": 16, "blocks": [2, 1]}
WORDS = {"name": "words", "heads": 2}


def flow(text, name="starflow", **settings):
    torch.manual_seed(0)
    builder = models[name].build
    bound = bind(builder, {**SMALL, "text": text, **settings}, name, context=EVENT)
    model = call(builder, EVENT, Normal(EVENT.shape), settings=bound)
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=stream))
    return model


def build_text(event, width, value):
    return TEXT.build(value, "model.text", event, event, width)


def points(n, dtype=torch.float32):
    return noise(Normal(EVENT.shape), n, 7).to(dtype)


def save_text_encoder(folder, model):
    """Save a net of random weights with a tokenizer of words, as the hub has them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    spelled = ["<pad>", "</s>", "<unk>", "a", "the", "big", "small", "cat", "dog", ","]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(spelled)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    model.eval().save_pretrained(folder)
    return str(folder)
