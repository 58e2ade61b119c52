"""Every exception `presel` raises on purpose, one tree.

    PreselError                       what, where, expected against got, and what to do
    |- ConfigError                    a setting is wrong; nothing was started
    |  `- MissingExtra                  it needs a part of presel that is not installed
    |- InputError                     an argument the caller passed is unusable (shape, type, range)
    |- StorageError                   an object store or folder did not do what was asked
    |  |- NotFound                      no such object
    |  |- AccessDenied                  the credentials do not allow it
    |  |  `- ObjectArchived                it is in cold storage and has to be restored first
    |  |- ObjectChanged                 it was overwritten since it was listed
    |  |- AlreadyExists                 a conditional create lost: somebody else was first
    |  `- StorageUnavailable            throttled, reset or timed out (retryable)
    |- IntegrityError                 stored bytes or a table's schema differ from what was promised
    |- ModelError                     weights, tokenizer or processor cannot be loaded or used
    |- EndpointError                  the instruction endpoint did not do what was asked
    |  |- EndpointRefused               it never will: key, model, request, account (not retryable)
    |  `- EndpointUnavailable           throttled, overloaded, reset or timed out (retryable)
    |- BudgetExceeded                 the next request could pass the money cap
    `- SupplyError                    the pool cannot give what the configuration asks for

Bad input *data* is never an exception: an image that will not decode, a loss that is NaN or an answer that was refused
becomes a row in `rejects` with its reason, and the run goes on. These exceptions mean that machinery is broken or misused.
Foreign exceptions are translated where the foreign system is called, each outside system in one place.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec

EXTRAS: dict[str, tuple[str, ...]] = {
    "cli": ("rich", "typer"),
    "images": ("PIL", "simplejpeg", "tifffile"),
    "formats": ("pillow_heif", "pillow_jxl", "pydicom"),
    "s3": ("boto3", "botocore", "obstore", "urllib3"),
    "instruct": ("genai_prices", "httpx2", "jinja2", "json_repair", "jsonschema", "openai"),
    "models": (
        "huggingface_hub", "num2words", "open_clip", "peft", "safetensors", "timm", "torch", "torchvision", "transformers",
    ),
    "gpu": ("faiss",),
    "report": ("jinja2", "markupsafe", "matplotlib", "sklearn"),
    "flows": ("httpx", "prefect", "uvicorn"),
    "demo": ("moto", "skimage", "sklearn", "tokenizers"),
    "ray": ("prefect_ray", "ray"),
    "dask": ("dask", "prefect_dask"),
    "metrics": ("prometheus_client",),
}  # fmt: skip
"""Modules that the light core does without, by the extra of the distribution that brings them."""

__version__ = "0.1.0"


@cache
def require(extra: str, purpose: str) -> None:
    """Called where an extra is first needed; imports nothing. Raises MissingExtra.

    `purpose`: what is not possible without it, as the start of a sentence: "a store on S3".
    """
    for module in EXTRAS[extra]:
        if sys.modules.get(module) is None and find_spec(module) is None:
            raise MissingExtra.of(extra, module, purpose)


class PreselError(Exception):
    """The root. `str(error)` is a whole explanation; the parts stay readable as attributes."""

    exit_code = 1
    retryable = False

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: object = None,
        got: object = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.fix = fix

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.expected is not None:
            parts.append(f"expected {self.expected}, got {self.got}")
        if self.fix:
            parts.append(self.fix)
        return "; ".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        # Prefect, Ray and process pools move exceptions between processes: keep every part on the way.
        return _rebuild, (type(self), self.what, self.where, self.expected, self.got, self.fix)


def _rebuild(
    kind: type[PreselError], what: str, where: str | None, expected: object, got: object, fix: str | None
) -> PreselError:
    return kind(what, where=where, expected=expected, got=got, fix=fix)


class ConfigError(PreselError):
    exit_code = 2


class MissingExtra(ConfigError, ImportError):
    """One sentence, with the command that installs what is missing."""

    @classmethod
    def of(cls, extra: str, module: str, purpose: str) -> MissingExtra:
        return cls(f"{purpose} needs {module}, which is not installed: pip install 'presel[{extra}]'")


class InputError(PreselError, ValueError):
    pass


class StorageError(PreselError):
    exit_code = 3


class NotFound(StorageError):
    pass


class AccessDenied(StorageError):
    pass


class ObjectArchived(AccessDenied):
    pass


class ObjectChanged(StorageError):
    pass


class AlreadyExists(StorageError):
    pass


class StorageUnavailable(StorageError):
    retryable = True


class IntegrityError(PreselError):
    exit_code = 4


class ModelError(PreselError):
    exit_code = 5


class EndpointError(PreselError):
    exit_code = 6


class EndpointRefused(EndpointError):
    pass


class EndpointUnavailable(EndpointError):
    retryable = True


class BudgetExceeded(PreselError):
    exit_code = 7


class SupplyError(PreselError):
    exit_code = 8
