"""The model that says what a question is worth: which one, how it is fitted, where it runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from presel.config.section import Section
from presel.keys import InKeyUnless, Operational, SettledByStage


class LoraConfig(Section):
    """The paper's fine-tuning recipe (METHOD: reference model)."""

    rank: int = Field(128, ge=1, description="of the low-rank update")
    alpha: int = Field(256, ge=1, description="the update is scaled by alpha / rank")
    learning_rate: float = Field(2e-4, gt=0)
    projector_learning_rate: float = Field(2e-5, ge=0)
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the steps")
    epochs: int = Field(1, ge=1, description="passes over the reference set")
    steps: Annotated[Annotated[int, Field(ge=1)] | None, InKeyUnless(None)] = Field(
        None,
        description="optimiser steps in place of `epochs`: as many passes as they take, the last one cut short",
    )
    batch: int = Field(16, ge=1, description="samples per optimiser step")
    whole: Annotated[bool, InKeyUnless(False)] = Field(
        False,
        description="train the language model's layers whole, not by low-rank updates: for a model of a few million",
    )
    optimizer: Annotated[Literal["adamw", "muon"], InKeyUnless("adamw")] = Field(
        "adamw", description="muon: for the matrices, AdamW for the rest; far fewer steps for a small model"
    )
    precision: Annotated[Literal["auto", "bfloat16"], InKeyUnless("auto")] = Field(
        "auto", description="of products while fitting. auto: bfloat16 on a GPU, float32 on a CPU"
    )
    question_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of samples fitted without their question; 0 is the paper's recipe"
    )


class ServedConfig(Section):
    """A reference model behind an OpenAI-compatible server that returns prompt log-probabilities (vLLM does)."""

    base_url: str = Field(description="the server's /v1; may name an environment variable, ${HOST}")
    model: str = Field(description="as the server calls it")
    api_key_env: Annotated[str, Operational] = Field(
        "OPENAI_API_KEY", description="the environment variable that holds the key; unset: none is sent"
    )
    concurrency: Annotated[int, Field(ge=1, le=1024), Operational] = Field(8, description="requests in flight")
    timeout: Annotated[float, Field(gt=0), Operational] = Field(120.0, description="seconds for one request")


class ReferenceModelConfig(Section):
    """The LVLM that tells how much a question helps to predict the response."""

    model: str = Field(
        "llava-hf/llava-1.5-7b-hf",
        description="a hub name, a local folder, or builtin (the demo's); of a served model only the processor is read",
    )
    fit: Literal["lora", "cross", "none"] = Field(
        "lora",
        description="lora: one adapter on the whole reference set, as in the paper; cross: two, each scoring the half it "
        "has not seen; none: the model as it is (training-free IRS)",
    )
    lora: LoraConfig = LoraConfig()
    turns: Literal["masked", "joined"] = Field(
        "masked",
        description="the question-free loss of a conversation. masked: the same turns with empty questions, so the same "
        "response tokens; joined: all its responses as one, as the released scripts do",
    )
    served: ServedConfig | None = Field(None, description="score through a server; goes with fit: none, and implies it")
    precomputed: Annotated[str | None, Operational] = Field(
        None,
        description="a CSV, JSONL or Parquet of losses (sample_id or key), or of an irs or a weight by task, in place of a "
        "model. An address on S3 or a path. Its content is part of every key, its place is not; implies fit: none",
    )
    max_length: int = Field(2048, ge=16, description="tokens; a sample whose response would be cut is rejected")
    loss_floor: float = Field(
        0.0,
        ge=0,
        description="nats per token: below it both losses count as equal, certain either way; 0 is the paper's",
    )
    batch_size: Annotated[int, Field(ge=1), Operational] = Field(8, description="samples scored at once")
    remember: Annotated[float, Field(ge=0), Operational] = Field(
        0.0,
        description="GiB of memory for what the frozen vision tower makes of pictures, so that one that is shown again costs "
        "neither its file nor the tower; of LLaVA-like models",
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], SettledByStage] = Field(
        "auto", description="auto: a GPU where there is one; what is fitted or scored on a GPU has a key of its own"
    )
    checkpoint_seconds: Annotated[float, Field(ge=0), Operational] = Field(
        300.0,
        description="between checkpoints of a fit: what a kill can cost; one of a 7B model at rank 128 is some 4 GB",
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_to_fit(cls, data: Any) -> Any:
        if isinstance(data, dict) and (data.get("served") or data.get("precomputed")):
            return {"fit": "none", **data}
        return data

    @model_validator(mode="after")
    def _one_origin_of_the_losses(self) -> ReferenceModelConfig:
        origins = [name for name in ("served", "precomputed") if getattr(self, name) is not None]
        if len(origins) > 1:
            raise ValueError("served and precomputed exclude each other: the losses come from one place")
        if origins and self.fit != "none":
            raise ValueError(f"fit is {self.fit}, but with `{origins[0]}` nothing is fitted here: set fit: none")
        return self
