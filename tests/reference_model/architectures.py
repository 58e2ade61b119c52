"""Other architectures for tests, in small and with random weights, each with something that a LLaVA does not have.

Qwen2.5-VL: an image's size decides how many tokens it takes, positions are three-dimensional. Idefics3 (SmolVLM's): one
placeholder becomes marks and image tokens. Mllama: the image enters by cross-attention, with a mask that has a row for each
token. A LLaVA on LFM2: layers that are convolutions, whose cache is a state and cannot be copied row by row.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    Lfm2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MllamaConfig,
    MllamaForConditionalGeneration,
    MllamaImageProcessor,
    MllamaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from presel.config import ReferenceModelConfig
from presel.demo.lvlm import build_tokenizer
from presel.reference_model import load

_NAMED = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for p in m.content %}{% if p.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ p.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
)


def save_tiny_qwen(folder: Path) -> str:
    tokenizer = _tokenizer(_NAMED, ["<|im_start|>", "<|im_end|>"])
    images = Qwen2VLImageProcessor(min_pixels=28 * 28 * 4, max_pixels=28 * 28 * 30)
    Qwen2_5_VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(), chat_template=_TEMPLATE).save_pretrained(folder)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]},
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": 64,
        "fullatt_block_indexes": [1],
        "window_size": 56,
    }
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in _NAMED.items()}
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


_LANGUAGE = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2}


def _tokenizer(named: dict[str, str], marks: list[str]) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(["what colour is it how many are there"], vocabulary=320).backend_tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={**named, **{f"mark_{n}": mark for n, mark in enumerate(marks)}},
    )


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}


def save_tiny_idefics(folder: Path) -> str:
    marks = {"image_token": "<image>", "fake_image_token": "<fake_token_around_image>"}
    ends = {"global_image_token": "<global-img>", "end_of_utterance_token": "<end_of_utterance>"}
    tokenizer = _tokenizer({**marks, **ends}, [])
    images = Idefics3ImageProcessor(
        do_image_splitting=False, size={"longest_edge": 112}, max_image_size={"longest_edge": 56}
    )
    template = (
        "{% for m in messages %}{{ m.role | capitalize }}:{% for p in m.content %}{% if p.type == 'image' %}<image>"
        "{% else %}{{ p.text }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    )
    Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=template).save_pretrained(folder)
    text = LlamaConfig(vocab_size=len(tokenizer), num_hidden_layers=2, **_LANGUAGE, **_ids(tokenizer))
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Idefics3Config(
        text_config=text,
        vision_config={**vision, "image_size": 56, "patch_size": 14},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    torch.manual_seed(0)
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


def save_tiny_mllama(folder: Path) -> str:
    tokenizer = _tokenizer({"image_token": "<|image|>"}, ["<|start|>", "<|eot|>"])
    images = MllamaImageProcessor(size={"height": 56, "width": 56}, max_image_tiles=2)
    template = (
        "{% for m in messages %}<|start|>{{ m.role }}\n{% for p in m.content %}{% if p.type == 'image' %}<|image|>"
        "{% else %}{{ p.text }}{% endif %}{% endfor %}<|eot|>{% endfor %}"
    )
    MllamaProcessor(images, tokenizer, chat_template=template).save_pretrained(folder)
    text = {
        "vocab_size": len(tokenizer), "num_hidden_layers": 3, "cross_attention_layers": [1], **_LANGUAGE,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}, **_ids(tokenizer),
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_global_layers": 1, "attention_heads": 2,
        "image_size": 56, "patch_size": 14, "max_num_tiles": 2, "vision_output_dim": 64,
        "intermediate_layers_indices": [1], "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
    }  # fmt: skip
    image = tokenizer.convert_tokens_to_ids("<|image|>")
    torch.manual_seed(0)
    model = MllamaForConditionalGeneration(
        MllamaConfig(text_config=text, vision_config=vision, image_token_index=image)
    )
    for name, parameter in model.named_parameters():
        if "gate" in name:  # as made, the image does not count at all
            torch.nn.init.constant_(parameter, 0.7)
    model.save_pretrained(folder)
    return str(folder)


def save_tiny_hybrid(folder: Path) -> str:
    base = load(ReferenceModelConfig(model="builtin", device="cpu"))
    tokenizer = base.processor.tokenizer
    text = Lfm2Config(
        vocab_size=len(tokenizer), num_hidden_layers=2, layer_types=["conv", "full_attention"], **_LANGUAGE,
        **_ids(tokenizer),
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=base.model.config.vision_config,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=64,
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    base.processor.save_pretrained(folder)
    return str(folder)
