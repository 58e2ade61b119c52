"""Every knob, once, with its default, its unit and its reason.

The configuration is data: frozen, strict, serialisable; the same model is the file on disk, the parameter form in the Prefect
UI and part of every key. Secrets are not in it: `api_key_env` names an environment variable, S3 credentials come
from where boto3 looks. Fields marked `Operational` change how the work is done, never what comes out, and are left
out of every key.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from presel.keys import Operational

Share = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class S3Config(Section):
    """How a source on S3 is reached, where that differs from what the environment says. Never a secret."""

    anonymous: bool = Field(False, description="send unsigned requests, as public buckets allow")
    requester_pays: bool = Field(False, description="agree to be charged for requests and traffic")
    profile: str | None = Field(None, description="a profile of the AWS configuration, with its keys or its role")
    endpoint_url: str | None = Field(None, description="of MinIO, R2 or another server; default: $AWS_ENDPOINT_URL")
    region: str | None = None
    addressing: Literal["auto", "path", "virtual"] = Field(
        "auto", description="path: endpoint/bucket/key; virtual: bucket.endpoint/key; auto: what boto3 would choose"
    )

    @model_validator(mode="after")
    def _one_identity(self) -> S3Config:
        if self.anonymous and self.profile:
            raise ValueError("anonymous and profile exclude each other: an unsigned request has no identity")
        return self


class SourceConfig(Section):
    """Where the unlabelled images lie, and which task each belongs to."""

    uri: str = Field(description="s3://bucket/prefix or a folder")
    tasks: Literal["prefix", "single", "table", "llava", "vision_flan"] = Field(
        "prefix",
        description="prefix: the first folder of a key is its task; single: one task for all; "
        "table, llava, vision_flan: `mapping` says it",
    )
    mapping: Annotated[str | None, Operational] = Field(
        None,
        description="for tasks: table, a CSV, JSONL or Parquet with columns key and task; for llava and vision_flan, the "
        "dataset's JSON. An address on S3 or a path. Its content is part of every key, its place is not",
    )
    s3: Annotated[S3Config, Operational] = S3Config()
    part_size: Annotated[int, Field(ge=1, le=100_000), Operational] = Field(
        1000, description="images per unit of parallel work"
    )

    @model_validator(mode="after")
    def _mapping_where_it_is_used(self) -> SourceConfig:
        if (self.tasks in ("table", "llava", "vision_flan")) != (self.mapping is not None):
            raise ValueError("`mapping` goes with tasks: table, llava or vision_flan, and they with it")
        return self


class ImageConfig(Section):
    """What counts as a usable image. Limits are checked before a pixel is decoded."""

    max_pixels: int = Field(64_000_000, ge=1, description="width x height; above it an image is rejected, not decoded")
    min_side: int = Field(8, ge=1, description="pixels")
    max_aspect_ratio: float = Field(20.0, ge=1, description="longer side / shorter side")


class EncoderConfig(Section):
    """The model whose vectors say which images are alike."""

    name: str = Field(
        "timm:vit_base_patch14_dinov2.lvd142m",
        description="timm:<model>, open_clip:<model>/<pretrained tag or local file>, or builtin (no download)",
    )
    weights: str | None = Field(None, description="a local safetensors file in place of the hub's weights")
    images: ImageConfig = ImageConfig()
    isolate: Annotated[Literal["fragile", "all"], Operational] = Field(
        "fragile",
        description="fragile: TIFF, AVIF and JPEG 2000 are decoded in child processes; all: every format, so that no decoder "
        "can end a run; without it a crash is survived by starting the run again",
    )
    batch_size: Annotated[int, Field(ge=1), Operational] = 64
    device: Annotated[Literal["auto", "cpu", "cuda"], Operational] = "auto"


class ReferenceConfig(Section):
    """The random sample of every task that is instructed first, to learn what instructions are worth there."""

    share: Share = Field(0.05, description="of every task's samples; at least one per task")


class TurnConfig(Section):
    """One question-response pair."""

    question: str = Field(min_length=1)
    response: str = Field(min_length=1)


class PromptConfig(Section):
    """What is asked of the annotator about one image. A template is Jinja2, sandboxed; it may use `task`."""

    kind: Literal["short_answer", "conversation", "detailed_description", "reasoning", "captions", "custom"] = (
        "conversation"
    )
    turns: int = Field(1, ge=1, le=10, description="question-response pairs per image")
    language: str = "English"
    system: str | None = Field(None, description="replaces the kind's own system message")
    template: str | None = Field(None, description="replaces the kind's own user message")
    examples: tuple[tuple[TurnConfig, ...], ...] = Field(
        (), description="answers as they should be, each a list of question and response; shown before the image"
    )
    check_language: bool = Field(
        False, description="ask again, then reject, what is certainly not written in `language` (its English name)"
    )
    judge: str | None = Field(
        None,
        description="criteria in words: a second, paid request asks the model whether the turns meet them; null: none",
    )


class PriceConfig(Section):
    """US dollars per million tokens, for models the price list does not know or a contract of your own."""

    input_per_million: float = Field(ge=0)
    output_per_million: float = Field(ge=0)


class BatchConfig(Section):
    """The provider's batch API: half the price, an answer within 24 hours."""

    requests_per_file: int = Field(50_000, ge=1, le=50_000)
    megabytes_per_file: float = Field(200.0, gt=0, le=200, description="1 MB is a million bytes")
    gather: float = Field(10.0, gt=0, description="seconds without a new request after which a file is sent as it is")
    poll: float = Field(60.0, gt=0, description="seconds between two looks at a batch")
    finish_live: bool = Field(
        False,
        description="what an ended batch leaves open, and follow-ups, are asked at once at the full price; "
        "false: in another batch",
    )
    price_share: float = Field(0.5, gt=0, le=1, description="of the live price")


class GeneratorConfig(Section):
    """The OpenAI-compatible API that writes instructions. This is the only section that costs money."""

    model: str = "gpt-4.1-mini"
    base_url: str = Field("https://api.openai.com/v1", description="any server that speaks /chat/completions")
    api_key_env: Annotated[str, Operational] = Field(
        "OPENAI_API_KEY", description="the environment variable that holds the key"
    )
    prompt: PromptConfig = PromptConfig()
    prompts: dict[str, PromptConfig] = Field(default_factory=dict, description="per task, in place of `prompt`")
    image_side: int = Field(768, ge=32, description="longer side in pixels of the picture that is sent")
    image_detail: Literal["low", "high", "auto"] = "auto"
    temperature: float = Field(0.2, ge=0, le=2)
    max_output_tokens: int = Field(800, ge=1)
    seed: int = 0
    max_cost: Annotated[float | Literal["unlimited"], Operational] = Field(
        ..., description="US dollars this store may spend in all; 'unlimited' switches the cap off, in words"
    )
    prices: Annotated[PriceConfig | None, Operational] = None
    mode: Annotated[Literal["live", "batch"], Operational] = Field(
        "live", description="batch: through the provider's batch API, at half the price, within a day"
    )
    batch: Annotated[BatchConfig, Operational] = BatchConfig()
    concurrency: Annotated[int, Field(ge=1, le=1024), Operational] = Field(32, description="requests in flight")
    requests_per_minute: Annotated[int | None, Field(ge=1), Operational] = None
    tokens_per_minute: Annotated[int | None, Field(ge=1), Operational] = None
    timeout: Annotated[float, Field(gt=0), Operational] = Field(120.0, description="seconds for one whole request")
    attempts: Annotated[int, Field(ge=1, le=20), Operational] = Field(
        6, description="tries of one request that failed without an answer"
    )


class LoraConfig(Section):
    """The paper's fine-tuning recipe (METHOD: reference model)."""

    rank: int = Field(128, ge=1, description="of the low-rank update")
    alpha: int = Field(256, ge=1, description="the update is scaled by alpha / rank")
    learning_rate: float = Field(2e-4, gt=0)
    projector_learning_rate: float = Field(2e-5, ge=0)
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the steps")
    epochs: int = Field(1, ge=1, description="passes over the reference set")
    batch: int = Field(16, ge=1, description="samples per optimiser step")
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
    device: Annotated[Literal["auto", "cpu", "cuda"], Operational] = "auto"

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


class WeightsConfig(Section):
    """From IRS to task weights. The defaults are the paper's."""

    temperature: float | None = Field(
        None, gt=0, description="of the softmax over -IRS; default 1/sqrt(number of tasks)"
    )
    estimator: Literal["mean", "trimmed"] = "mean"
    shrinkage: bool = Field(False, description="pull noisy task means toward the pool's (empirical Bayes)")
    floor: float = Field(0.0, ge=0, le=1, description="share of the weight that is spread evenly over the tasks")
    size_prior: float = Field(0.0, ge=0, le=1, description="weights are multiplied by task size to this power")


class BudgetConfig(Section):
    """How much of the pool is instructed, the reference set included."""

    share: Share = 0.15


class ClusteringConfig(Section):
    images_per_cluster: int = Field(100, ge=1, description="a task of n images has n / this many clusters")
    quality: Literal["fast", "default", "best"] = "default"


class SelectionConfig(Section):
    strategy: Literal["presel", "random", "balanced", "typiclust", "kcentre", "coverage"] = "presel"
    near_duplicate: float | None = Field(
        0.98,
        gt=0,
        le=1,
        description="cosine from which an image is a copy of an earlier pick; null: no guard, as in the paper",
    )


class HistoryConfig(Section):
    """What becomes of samples that an earlier version of the dataset paid for, when pool or settings have changed."""

    keep: Literal["always", "while_selected", "never"] = Field(
        "always",
        description="always: they stay as long as their image is in the pool, and take seats of the budget; "
        "while_selected: the choice is made anew, and what is chosen again costs nothing; "
        "never: they are not chosen again, so a version is a batch of images nobody has paid for",
    )


class DatasetConfig(Section):
    name: str = Field(
        "dataset", pattern=r"^[a-z0-9][a-z0-9_-]*$", description="versions lie below <store>/datasets/<name>/"
    )


class ExecutionConfig(Section):
    """Where the work is done and who must agree to it. Nothing here changes a byte of what comes out."""

    runner: Literal["threads", "ray", "dask"] = Field(
        "threads", description="of Prefect: threads of this process, or a Ray or Dask cluster (optional extras)"
    )
    workers: int = Field(4, ge=1, description="tasks of one flow side by side; of a local cluster, its workers")
    cluster: str | None = Field(None, description="address of a running Ray or Dask cluster; null starts a local one")
    gpus: float = Field(0, ge=0, description="of a Ray or Dask cluster: the share of a GPU that a task asks for")
    approve: bool = Field(False, description="pause with the plan in the UI, and pay only once it is resumed")
    approval_timeout: float = Field(72.0, gt=0, description="hours after which an unapproved run ends")


class RefreshConfig(Section):
    """One refresh: choose the images worth instructing, instruct only those, publish the dataset."""

    mode: Literal["default", "paper"] = Field(
        "default", description="paper: exactly the published algorithm, nothing of ours that changes a pick"
    )
    seed: int = Field(0, ge=0)
    source: SourceConfig
    store: Annotated[str, Operational] = Field(description="s3://bucket/prefix or a folder: tables, ledger, datasets")
    encoder: EncoderConfig = EncoderConfig()
    reference: ReferenceConfig = ReferenceConfig()
    generator: GeneratorConfig
    reference_model: ReferenceModelConfig = ReferenceModelConfig()
    weights: WeightsConfig = WeightsConfig()
    budget: BudgetConfig = BudgetConfig()
    clustering: ClusteringConfig = ClusteringConfig()
    selection: SelectionConfig = SelectionConfig()
    history: HistoryConfig = HistoryConfig()
    dataset: DatasetConfig = DatasetConfig()
    execution: Annotated[ExecutionConfig, Operational] = ExecutionConfig()

    @model_validator(mode="before")
    @classmethod
    def _paper_has_no_guard_and_no_past(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("mode") == "paper":
            for section, default in (("selection", {"near_duplicate": None}), ("history", {"keep": "while_selected"})):
                given = data.get(section) or {}
                if isinstance(given, dict):
                    data = {**data, section: {**default, **given}}
        return data

    @model_validator(mode="after")
    def _paper_means_paper(self) -> RefreshConfig:
        if self.mode == "paper":
            ours = {
                "selection.strategy": self.selection.strategy != "presel",
                "selection.near_duplicate": self.selection.near_duplicate is not None,
                "history.keep": self.history.keep != "while_selected",
                "clustering.images_per_cluster": self.clustering.images_per_cluster != 100,
                "reference_model.fit": self.reference_model.fit != "lora",
                "weights.temperature": self.weights.temperature is not None,
                "weights.estimator": self.weights.estimator != "mean",
                "weights.shrinkage": self.weights.shrinkage,
                "weights.floor": self.weights.floor > 0,
                "weights.size_prior": self.weights.size_prior > 0,
                "reference_model.loss_floor": self.reference_model.loss_floor > 0,
                "reference_model.lora.question_dropout": self.reference_model.lora.question_dropout > 0,
            }
            changed = [name for name, differs in ours.items() if differs]
            if changed:
                raise ValueError(
                    f"mode is paper, but {', '.join(changed)} departs from it: remove it or set mode: default"
                )
        return self
