"""No tokenizer finds a sign of its own in an exported text, and other texts come back to the letter."""

from __future__ import annotations

import pytest

from presel.dataset.texts import neutral
from tests.export.pool import HOSTILE

SIGNS = (
    *("<image>", "<video>", "<audio>", "<img>", "</img>", "<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>"),
    *("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    *("<|eot_id|>", "<|begin_of_text|>", "<|image|>", "<｜begin▁of▁sentence｜>", "<think>", "</think>"),
    *("<IMG_CONTEXT>", "<start_of_image>", "<end_of_turn>", "<image_soft_token>", "<fake_token_around_image>"),
    *("<row_1_col_2>", "<loc0007>", "[INST]", "[/INST]", "[IMG]", "[IMG_END]", "<<SYS>>", "<tool_call>", "<turn|>"),
    *("[THINK]", "[/THINK]", "[AUDIO]", "[BEGIN_AUDIO]", "[ARGS]", "[CALL_ID]", "[PREFIX]", "[SUFFIX]", "[MIDDLE]"),
    *("<|extra_204|>", "<|object_ref_start|>", "<|fim_middle|>", "<|repo_name|>", "</tool_response>"),
)


@pytest.mark.parametrize("sign", SIGNS)
def test_a_sign_is_written_in_other_brackets_wherever_it_stands(sign: str) -> None:
    for text in (sign, f"say {sign}!", f"{sign}{sign}", f"<{sign}>", f"a\n{sign}\nb"):
        assert sign not in neutral(text)
        assert neutral(neutral(text)) == neutral(text)


@pytest.mark.parametrize(
    "text",
    [
        "2 < 3 > 1",
        "<b>bold</b>",
        "<div class='image'>",
        "a <- b -> c",
        "x[0] = y[1]",
        "[image]",
        "<|",
        "<3",
        "",
    ],
)
def test_other_texts_come_back_to_the_letter(text: str) -> None:
    assert neutral(text) == text


def test_the_tiny_models_tokenizer_finds_no_special_token() -> None:
    from transformers import AutoTokenizer

    from presel.demo.lvlm import base_folder

    tokenizer = AutoTokenizer.from_pretrained(base_folder())
    special = set(tokenizer.all_special_ids) | set(tokenizer.get_added_vocab().values())
    for text in (*SIGNS, *HOSTILE, *tokenizer.get_added_vocab()):
        assert not special & set(tokenizer(neutral(text), add_special_tokens=False)["input_ids"])
