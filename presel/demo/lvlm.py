"""The demo's reference model: LLaVA in small, of the same classes as the 7B one.

A real `LlavaForConditionalGeneration` (CLIP tower, two-layer projector, Llama) with a real tokenizer, `LlavaProcessor` and chat
template, so that the demo fits and scores through the code that production runs; only the numbers are small: 4.5 million
parameters, 112-pixel images as 64 tokens, a few hundred words. Its weights are shipped in `base/` (9 MB, float16) and made by
`python -m presel.demo.make_base`. Images are padded to a square, not cropped: a bar chart without its edges is another chart.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

IMAGE_SIDE, PATCH = 112, 14
IMAGE_TOKENS = (IMAGE_SIDE // PATCH) ** 2
_SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
_ROLES = ["<image>", "<|user|>", "<|assistant|>"]


class Size(NamedTuple):
    """How large a tiny LLaVA is; the defaults are the demo's. Sides in pixels."""

    side: int = IMAGE_SIDE
    patch: int = PATCH
    tower: int = 160
    tower_layers: int = 4
    tower_heads: int = 5
    width: int = 256
    inner: int = 576
    layers: int = 4
    heads: int = 4

    @property
    def image_tokens(self) -> int:
        return (self.side // self.patch) ** 2


DEMO = Size()
# Roles as single tokens: a prompt of 64 image tokens should not spend ten more on "USER:".
_CHAT_TEMPLATE = """<s>{% for message in messages %}<|{{ message.role }}|>\
{% for part in message.content if part.type == 'image' %}<image>{% endfor %}\
{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}\
{% if message.role == 'assistant' %}</s>{% endif %}{% endfor %}\
{% if add_generation_prompt %}<|assistant|>{% endif %}"""


def base_folder() -> Path:
    """The shipped base: a folder that `AutoModelForImageTextToText` and `AutoProcessor` load."""
    return Path(__file__).parent / "base"


def build_tokenizer(corpus: Iterable[str], vocabulary: int = 800) -> Any:
    """A byte-level BPE tokenizer trained on `corpus`: nearly every word of it is one token, and any other text still works."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[*_SPECIAL.values(), *_ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(corpus), trainer)  # sorted: ties between merges fall the same way
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **_SPECIAL,
        extra_special_tokens={"image_token": "<image>"},
        additional_special_tokens=_ROLES[1:],
        model_max_length=512,
    )


def build_processor(tokenizer: Any, size: Size = DEMO) -> Any:
    """The processor of the tiny model: pad to a square, scale (to 112 pixels), a placeholder token for each patch (64)."""
    from transformers import LlavaImageProcessor, LlavaProcessor

    side = {"height": size.side, "width": size.side}
    images = LlavaImageProcessor(do_pad=True, size=side, do_center_crop=False, crop_size=side)
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=size.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_CHAT_TEMPLATE,
    )


def build_model(tokenizer: Any, seed: int, size: Size = DEMO) -> Any:
    """An untrained model for that tokenizer, float32; one seed, one model."""
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        image_size=size.side,
        patch_size=size.patch,
        hidden_size=size.tower,
        intermediate_size=4 * size.tower,
        num_hidden_layers=size.tower_layers,
        num_attention_heads=size.tower_heads,
        projection_dim=size.tower,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=size.image_tokens,
        vision_feature_layer=-1,  # the tower is four layers deep: none to spare
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlavaForConditionalGeneration(config)
