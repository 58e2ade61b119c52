"""More architectures for tests, in small and with random weights.

Qwen3-VL: image features enter at several layers. LLaVA-OneVision: an image as tiles, unpadded, a number of tokens that
depends on its shape. Gemma 3: image tokens see each other in both directions, layers with a sliding window, token types.
InternVL: tiles as images of their own. Mistral 3 (Pixtral): tokens that end the rows of an image. SmolVLM: tiles between
marks, and image features in the type of the weights, whatever the embeddings have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessor,
    Gemma3Processor,
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PixtralImageProcessor,
    PixtralProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)
from transformers.models.internvl.video_processing_internvl import InternVLVideoProcessor
from transformers.models.llava_onevision.video_processing_llava_onevision import LlavaOnevisionVideoProcessor

from tests.reference_model.architectures import _LANGUAGE, _NAMED, _TEMPLATE, _ids, _tokenizer

_SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def _text(kind: str, tokenizer: PreTrainedTokenizerFast, **more: Any) -> dict[str, Any]:
    return {
        "model_type": kind, "vocab_size": len(tokenizer), "num_hidden_layers": 2, **_LANGUAGE, **_ids(tokenizer), **more,
    }  # fmt: skip


def _template(image: str) -> str:
    return _TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", image)


def save_tiny_qwen3(folder: Path) -> str:
    tokenizer = _tokenizer(_NAMED, ["<|im_start|>", "<|im_end|>"])
    images = Qwen2VLImageProcessor(patch_size=14, min_pixels=28 * 28 * 4, max_pixels=28 * 28 * 30)
    Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(), chat_template=_TEMPLATE).save_pretrained(folder)
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    text = _text("qwen3_vl_text", tokenizer, head_dim=16, rope_parameters=rope)
    vision = {
        "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 14, "out_hidden_size": 64,
        "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1],
    }  # fmt: skip
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in _NAMED.items()}
    torch.manual_seed(0)
    config = Qwen3VLConfig(text_config=text, vision_config=vision, **ids)
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


def save_tiny_onevision(folder: Path) -> str:
    tokenizer = _tokenizer({"image_token": "<image>", "video_token": "<video>"}, ["<|im_start|>", "<|im_end|>"])
    grid = [[56, 56], [56, 112], [112, 56], [112, 112]]
    images = LlavaOnevisionImageProcessor(size={"height": 56, "width": 56}, image_grid_pinpoints=grid)
    LlavaOnevisionProcessor(
        images, tokenizer, LlavaOnevisionVideoProcessor(), num_image_tokens=16, vision_feature_select_strategy="full",
        chat_template=_template("<image>\n"),
    ).save_pretrained(folder)  # fmt: skip
    config = LlavaOnevisionConfig(
        vision_config={"model_type": "siglip_vision_model", **_SMALL, "image_size": 56, "patch_size": 14,
                       "vision_use_head": False},
        text_config=_text("qwen2", tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
    )  # fmt: skip
    torch.manual_seed(0)
    LlavaOnevisionForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


def save_tiny_gemma(folder: Path) -> str:
    named = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    tokenizer = _tokenizer(named, ["<|im_start|>", "<|im_end|>"])
    images = Gemma3ImageProcessor(size={"height": 56, "width": 56}, do_pan_and_scan=False)
    Gemma3Processor(
        images, tokenizer, chat_template="<s>" + _template("<start_of_image>"), image_seq_length=4
    ).save_pretrained(folder)
    text = _text("gemma3_text", tokenizer, head_dim=16, sliding_window=8, query_pre_attn_scalar=16)
    text |= {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "num_hidden_layers": 3}
    config = Gemma3Config(
        text_config=text,
        vision_config={"model_type": "siglip_vision_model", **_SMALL, "image_size": 56, "patch_size": 14},
        mm_tokens_per_image=4,
        **{f"{name}_index": tokenizer.convert_tokens_to_ids(token) for name, token in named.items()},
    )
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.2)  # as made, zero
    model.save_pretrained(folder)
    return str(folder)


def save_tiny_internvl(folder: Path) -> str:
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    tokenizer = _tokenizer({**named, "video_token": "<video>"}, ["<|im_start|>", "<|im_end|>"])
    images = GotOcr2ImageProcessor(size={"height": 56, "width": 56}, crop_to_patches=True, max_patches=3)
    InternVLProcessor(
        images, tokenizer, InternVLVideoProcessor(), image_seq_length=4, chat_template=_template("<IMG_CONTEXT>\n")
    ).save_pretrained(folder)
    config = InternVLConfig(
        vision_config={**_SMALL, "image_size": [56, 56], "patch_size": [14, 14]},
        text_config=_text("qwen2", tokenizer),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    torch.manual_seed(0)
    InternVLForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


def save_tiny_mistral(folder: Path) -> str:
    marks = ["[IMG_BREAK]", "[IMG_END]", "<|im_start|>", "<|im_end|>"]
    tokenizer = _tokenizer({"image_token": "[IMG]"}, marks)
    images = PixtralImageProcessor(size={"longest_edge": 112}, patch_size={"height": 14, "width": 14})
    PixtralProcessor(
        images, tokenizer, patch_size=14, spatial_merge_size=2, chat_template=_template("[IMG]")
    ).save_pretrained(folder)
    config = Mistral3Config(
        vision_config={"model_type": "pixtral", **_SMALL, "image_size": 112, "patch_size": 14, "head_dim": 16},
        text_config=_text("mistral", tokenizer, head_dim=16, sliding_window=None),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    Mistral3ForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


def save_tiny_smolvlm(folder: Path) -> str:
    named = {
        "image_token": "<image>",
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
    }
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    tokenizer = _tokenizer(named, ["<|im_start|>", "<|im_end|>", *tiles])
    sizes = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    frames = {"max_frames": 4, "fps": 1, "video_size": {"longest_edge": 64}}
    SmolVLMProcessor(
        SmolVLMImageProcessor(do_image_splitting=True, **sizes), tokenizer,
        SmolVLMVideoProcessor(video_sampling=frames, **sizes), image_seq_len=4, chat_template=_template("<image>"),
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    config = SmolVLMConfig(
        text_config=_text("llama", tokenizer), vision_config={**_SMALL, "image_size": 32, "patch_size": 8},
        scale_factor=2, image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    SmolVLMForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)
