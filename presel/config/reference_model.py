"""The model that says what a question is worth: which one, how it is fitted, where it runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from presel.config.generator import Endpoint, PriceConfig
from presel.config.keys import InKeyUnless, Operational, SettledByStage
from presel.config.section import Section

NOT_IRS = "IRS here is the ratio of a judge's two verdicts (`reference_model.verdict`): not the paper's IRS."
_ORIGINS = ("served", "precomputed", "verdict")
"""Where losses come from, if not from a model here."""


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

    base_url: Endpoint = Field(description="the server's /v1; may name an environment variable, ${HOST}")
    model: str = Field(description="as the server calls it")
    api_key_env: Annotated[str, Operational] = Field(
        "OPENAI_API_KEY", description="the environment variable that holds the key; unset: none is sent"
    )
    concurrency: Annotated[int, Field(ge=1, le=1024), Operational] = Field(8, description="requests in flight")
    timeout: Annotated[float, Field(gt=0), Operational] = Field(120.0, description="seconds for one request")


class VerdictConfig(Section):
    """A judge behind any chat API: how sure it is of an answer, with its question and without. Not the paper's IRS."""

    model: str = Field(description="as the endpoint calls it; one that gives log-probabilities, or with `votes` any")
    base_url: Endpoint = Field("https://api.openai.com/v1", description="any server that speaks /chat/completions")
    api_key_env: Annotated[str, Operational] = Field(
        "OPENAI_API_KEY", description="the environment variable that holds the key"
    )
    votes: int | None = Field(
        None,
        ge=3,
        le=99,
        description="ask so often and count, where no log-probabilities are given; null: read them from one answer",
    )
    image_side: int = Field(768, ge=32, description="longer side in pixels of the picture that is sent")
    prices: Annotated[PriceConfig | None, Operational] = Field(None, description="as `generator.prices`")
    max_cost: Annotated[float | Literal["unlimited"] | None, Operational] = Field(
        None,
        ge=0,
        description="US dollars this store may have spent in all, below `generator.max_cost`; null: as that says",
    )
    concurrency: Annotated[int, Field(ge=1, le=1024), Operational] = Field(8, description="requests in flight")
    timeout: Annotated[float, Field(gt=0), Operational] = Field(120.0, description="seconds for one whole request")


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
    verdict: Annotated[VerdictConfig | None, InKeyUnless(None)] = Field(
        None,
        description="weights from a judge's yes or no through any chat API, in place of a model; implies fit: none. Not the "
        "paper's IRS",
    )
    precomputed: Annotated[str | None, Operational] = Field(
        None,
        description="a CSV, JSONL or Parquet of losses (sample_id or key), or of an irs or a weight by task, in place of a "
        "model. An address on S3 or a path. Its content is part of every key, its place is not; implies fit: none",
    )
    max_length: int = Field(2048, ge=16, description="tokens; a sample whose response would be cut is rejected")
    loss_floor: float = Field(
        0.05,
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

    @property
    def note(self) -> str:
        """What whoever reads a score has to know of it; empty for the paper's own."""
        return NOT_IRS if self.verdict is not None else ""

    @model_validator(mode="before")
    @classmethod
    def _nothing_to_fit(cls, data: Any) -> Any:
        if isinstance(data, dict) and any(data.get(name) for name in _ORIGINS):
            return {"fit": "none", **data}
        return data

    @model_validator(mode="after")
    def _one_origin_of_the_losses(self) -> ReferenceModelConfig:
        origins = [name for name in _ORIGINS if getattr(self, name) is not None]
        if len(origins) > 1:
            raise ValueError(f"{' and '.join(origins)} exclude each other: the losses come from one place")
        if origins and self.fit != "none":
            raise ValueError(f"fit is {self.fit}, but with `{origins[0]}` nothing is fitted here: set fit: none")
        return self
