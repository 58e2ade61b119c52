"""Ask about pictures with bespokelabs-curator: run by `benchmarks.instructions side`, with the Python that has it.

    curator_rows.py URL FOLDER ROWS CACHE SYSTEM TIMEOUT

Prints one line of JSON: seconds, and rows that came back with an answer.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import pathlib
import sys
import time

url, folder, rows, cache, system, timeout = sys.argv[1:]
os.environ.update(
    TELEMETRY_ENABLED="false", CURATOR_DISABLE_RICH_DISPLAY="1", CURATOR_VIEWER="0", OPENAI_API_KEY="any",
    CURATOR_CACHE_DIR=cache, HF_DATASETS_OFFLINE="1", HF_HUB_OFFLINE="1", LITELLM_LOCAL_MODEL_COST_MAP="True",
)  # fmt: skip

tokenizers = importlib.util.find_spec("litellm").submodule_search_locations[
    0
]  # it ships the file that tiktoken would fetch
os.environ["TIKTOKEN_CACHE_DIR"] = f"{tokenizers}/litellm_core_utils/tokenizers"

from bespokelabs import curator  # noqa: E402


class Annotator(curator.LLM):
    # No `response_format`: curator first asks the endpoint a question of its own about a "User", and gives up on its answer.
    # No `curator.types.Image`: a system prompt beside one fails its validation (0.1.31).
    def prompt(self, input):  # type: ignore[no-untyped-def]
        data = base64.b64encode(pathlib.Path(input["file"]).read_bytes()).decode()
        picture = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
        words = {"type": "text", "text": "Write one question with its response about this image."}
        return [{"role": "user", "content": [words, picture]}]

    def parse(self, input, response):  # type: ignore[no-untyped-def]
        return {"file": input["file"], "turns": json.loads(response)["turns"]}


annotator = Annotator(
    model_name="gpt-4o-mini",
    backend="openai",
    system_prompt=system,
    generation_params={"temperature": 0.2, "max_tokens": 800},
    backend_params={
        "base_url": url,
        "max_requests_per_minute": 1_000_000,
        "max_tokens_per_minute": 1_000_000_000,
        "max_concurrent_requests": 48,
        "request_timeout": int(timeout),
        "require_all_responses": False,
    },
)
started = time.monotonic()
try:
    found = annotator([{"file": f"{folder}/{i}.jpg"} for i in range(int(rows))], working_dir=cache)
    made = len(getattr(found, "dataset", found))
except Exception as error:  # what it cannot cope with is a result, too
    made, error_name = 0, f"{type(error).__name__}: {str(error)[:120]}"
else:
    error_name = None
print(json.dumps({"seconds": time.monotonic() - started, "rows": made, "error": error_name}))
