"""An OpenAI-compatible server on this machine that answers `prompt_logprobs` as vLLM does.

Its numbers are real: transformers' own chat template, processor and forward pass of the model it was given, one request at
a time, and nothing of presel. `change` may spoil an answer before it is sent; `refuse` answers with a status instead.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

Answer = dict[str, Any]


class PromptServer:
    def __init__(self, folder: str, dtype: torch.dtype) -> None:
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype).eval()
        self.processor = AutoProcessor.from_pretrained(folder)
        self.requests: list[Answer] = []
        self.keys: list[str] = []
        self.change: Callable[[Answer], Answer] = lambda answer: answer
        self.refuse: tuple[int, str] | None = None
        self.url = ""
        self._turn = threading.Lock()

    def answer(self, request: Answer) -> Answer:
        images, messages = [], []
        for message in request["messages"]:
            parts = []
            for part in message["content"]:
                if part["type"] == "image_url":
                    data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
                    images.append(Image.open(io.BytesIO(data)).convert("RGB"))
                    part = {"type": "image"}
                parts.append(part)
            messages.append({"role": message["role"], "content": parts})
        text = self.processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=request.get("add_generation_prompt", True)
        )
        special = request.get("add_special_tokens", False)
        inputs = self.processor(text=[text], images=images, add_special_tokens=special, return_tensors="pt")
        with self._turn, torch.no_grad():
            inputs = inputs.to(self.model.dtype)
            likelihood = self.model(**inputs).logits[0].float().log_softmax(-1)
        ids = inputs["input_ids"][0].tolist()
        entries: list[Any] = [None]
        for at, token in enumerate(ids[1:], start=1):
            entries.append({str(token): {"logprob": float(likelihood[at - 1, token]), "rank": 1, "decoded_token": "?"}})
        message = {"role": "assistant", "content": "x"}
        answer: Answer = {
            "id": "1",
            "object": "chat.completion",
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "length"}],
            "prompt_logprobs": entries if "prompt_logprobs" in request else None,
        }
        if request.get("return_token_ids"):
            answer["prompt_token_ids"] = ids
        return answer


@contextmanager
def serving(folder: str, dtype: torch.dtype = torch.float32) -> Iterator[PromptServer]:
    """The server, up at `url` until the block ends."""
    state = PromptServer(folder, dtype)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append(request)
            state.keys.append(self.headers["Authorization"])
            status, body = 200, b""
            if state.refuse is None:
                body = json.dumps(state.change(state.answer(request))).encode()
            else:
                status, body = state.refuse[0], json.dumps({"error": {"message": state.refuse[1]}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
