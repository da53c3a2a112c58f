"""A few captions, small flows conditioned on them, and pretrained text encoders with random weights."""

from genbench.core import Event
from genbench.models.text_encoder import TEXT
from helpers.toy_transformer_flows import perturbed

CAPTIONS = ("a cat", "a big cat", "the dog, small", "a dog")
EVENT = Event((1, 4, 4), classes=4, captions=CAPTIONS)
WORDS = {"name": "words", "heads": 2}


def flow(text, name="starflow", **settings):
    return perturbed(name, EVENT, 0.14, text=text, **settings)


def build_text(event, width, value):
    return TEXT.build(value, "model.text", event, event, width)


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
