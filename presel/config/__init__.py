"""Every knob, once, with its default, its unit and its reason.

The configuration is data: frozen, strict, serialisable; the same model is the file on disk, the parameter form in the Prefect
UI and part of every key. Secrets are not in it: `api_key_env` names an environment variable, S3 credentials come
from where boto3 looks. Fields marked `Operational` change how the work is done, never what comes out, and are left
out of every key.

A file for each subject; everything is imported from here. `refresh.py` puts the sections together.
"""

from presel.config.choice import (
    BudgetConfig,
    ClusteringConfig,
    HistoryConfig,
    ReestimateConfig,
    ReferenceConfig,
    SelectionConfig,
    WeightsConfig,
)
from presel.config.export import ExportConfig, Trainer
from presel.config.generator import (
    BatchConfig,
    GeneratorConfig,
    PeopleConfig,
    PriceConfig,
    PromptConfig,
    RequestConfig,
    TurnConfig,
)
from presel.config.reference_model import LoraConfig, ReferenceModelConfig, ServedConfig, VerdictConfig
from presel.config.refresh import DatasetConfig, ExecutionConfig, RefreshConfig, without_slash
from presel.config.section import Section, Share
from presel.config.source import EncoderConfig, ImageConfig, S3Config, SourceConfig

__all__ = [
    "BatchConfig",
    "BudgetConfig",
    "ClusteringConfig",
    "DatasetConfig",
    "EncoderConfig",
    "ExecutionConfig",
    "ExportConfig",
    "GeneratorConfig",
    "HistoryConfig",
    "ImageConfig",
    "LoraConfig",
    "PeopleConfig",
    "PriceConfig",
    "PromptConfig",
    "ReestimateConfig",
    "ReferenceConfig",
    "ReferenceModelConfig",
    "RefreshConfig",
    "RequestConfig",
    "S3Config",
    "Section",
    "SelectionConfig",
    "ServedConfig",
    "Share",
    "SourceConfig",
    "Trainer",
    "TurnConfig",
    "VerdictConfig",
    "WeightsConfig",
    "without_slash",
]
