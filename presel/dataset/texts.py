"""Texts in which no tokenizer finds a sign of its own.

An annotator may well write `<image>` or `</s>` when a picture shows code, and so may a person who
poisons a pool. A trainer does not tell such a word from a sign of its own: `<image>` counts as one
more picture, `<audio>` ends LLaMA-Factory, `<|image_pad|>` ends TRL with Qwen, `<|im_end|>` and
`</s>` become the end of the sequence, `</think>` makes a chat template drop all before it. So they
are written in brackets that no tokenizer knows: `[image]`, `[/s]`, `[im_end]`. `data.parquet` keeps
what was said.

The table is drawn from the tokenizers and chat templates of the models that the documentation
names: LLaVA 1.5 and NeXT, Qwen 2 to 3 VL, InternVL, SmolVLM and Idefics, Gemma and PaliGemma, Llama
3 and 4, Mistral and Pixtral, Phi, DeepSeek.
"""

from __future__ import annotations

import re

_WORDS = (
    *("image", "images", "img", "video", "audio", "IMG_CONTEXT", "image_soft_token", "audio_soft_token"),
    *("start_of_image", "end_of_image", "start_of_turn", "end_of_turn", "start_of_audio", "end_of_audio", "turn"),
    *("boi", "eoi", "s", "bos", "eos", "pad", "unk", "mask", "cls", "sep", "endoftext", "end_of_text"),
    *("end_of_utterance", "fake_token_around_image", "global-img", "im_start", "im_end", "im_patch", "image_start"),
    *("image_end", "image_newline", "image_placeholder", "vid_start", "vid_end", "bbox", "ref-object", "box", "ref"),
    *("quad", "point", "think", "tool_call", "tool_response", "tools", "answer"),
)
"""Between `<` and `>`, each also with a slash before it."""
_ANGLED = re.compile(rf"<(/?(?:{'|'.join(map(re.escape, _WORDS))}|row_\d+_col_\d+|loc\d{{4}}|seg\d{{3}}|unused\d+))>")
_BARRED = re.compile(r"<([|｜])([^<>|｜\s][^<>|｜\n]{0,40}?)\1>")
_GEMMA = re.compile(r"<\|([a-z_]{1,24})>|<([a-z_]{1,24})\|>")
_MISTRALS = (
    *("INST", "IMG", "IMG_BREAK", "IMG_END", "AVAILABLE_TOOLS", "TOOL_CALLS", "TOOL_RESULTS", "TOOL_CONTENT"),
    *("SYSTEM_PROMPT", "MODEL_SETTINGS", "THINK", "ARGS", "CALL_ID", "PREFIX", "MIDDLE", "SUFFIX", "TRANSCRIBE"),
    *("AUDIO", "BEGIN_AUDIO", "NEXT_AUDIO_TEXT", "REPEAT_AUDIO_TEXT", "STREAMING_PAD", "STREAMING_WORD"),
)
"""Between square brackets, each also with a slash before it."""
_SQUARED = re.compile(rf"\[(/?(?:{'|'.join(_MISTRALS)}))\]")
_DOUBLED = re.compile(r"<<(/?SYS)>>")


def neutral(text: str) -> str:
    """The same words, in which no trainer finds a picture, an end or a turn; other texts come back to the letter."""
    if "<" not in text and "[" not in text:
        return text
    text = _SQUARED.sub(r"(\1)", text)
    text = _BARRED.sub(r"[\2]", text)
    text = _GEMMA.sub(lambda found: f"[{found[1] or found[2]}]", text)
    return _ANGLED.sub(r"[\1]", _DOUBLED.sub(r"((\1))", text))
