"""bfloat16 where it pays, float32 where it hurts.

A model wholly in bfloat16 keeps eight bits of every sum, residual and attention score: on the demo's tiny LLaVA a sample's
loss is up to 0.04 nats from float32, which moves an IRS near 0.5 by as much. Nearly all of a model's memory is its weights and
nearly all of its time their products, so those stay in bfloat16: a product takes bfloat16 factors and is summed and kept in
float32; everything between products (residuals, norms, attention, logits, softmax) is float32. The same samples are then within
0.0094 nats of float32, 0.0082 of it from the rounding of the weights themselves. The price is a key-value cache of twice the
size and float32 attention, 3 % of a 7B model's operations at 600 tokens. (Of the cheaper ways, with the same samples:
torch's autocast, which rounds each product's result, 0.024; the rest as here, keys and values in bfloat16, 0.014.)

It is done by looking at torch's own functions while they are called, so no layer of any model is known or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from presel.reference_model.backbone import ReferenceModel


@contextmanager
def precise(model: ReferenceModel) -> Iterator[None]:
    """Within, a bfloat16 model computes as described above; for a float32 model nothing changes."""
    if model.exact:
        yield
        return
    from torch.overrides import TorchFunctionMode

    class Precise(TorchFunctionMode):
        def __torch_function__(
            self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            return _called(func, args, kwargs or {})

    with Precise():
        yield


def _called(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    import torch

    functional = torch.nn.functional
    if func is functional.linear and _is_half(kwargs.get("weight", args[1] if len(args) > 1 else None)):
        return _linear(*args, **kwargs)
    if func is functional.embedding:
        return _widened(func(*args, **kwargs))
    if func in _placing() and args[0].dtype == torch.float32:  # what is written into must stay the object it is
        return func(args[0], *map(_widened, args[1:]), **{name: _widened(value) for name, value in kwargs.items()})
    if func in _mixing():
        return func(*map(_widened, args), **{name: _widened(value) for name, value in kwargs.items()})
    return func(*args, **kwargs)


def _linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """bfloat16 factors, float32 sum: what a tensor core does, but for the rounding of its result."""
    import torch

    rows = input.reshape(-1, input.shape[-1]).bfloat16()
    if rows.is_cuda:
        product = torch.mm(rows, weight.t(), out_dtype=torch.float32)
    else:  # bfloat16 factors have exact products in float32
        product = torch.mm(rows.float(), weight.t().float())
    product = product.reshape(*input.shape[:-1], weight.shape[0])
    return product if bias is None else product + bias.float()


@cache
def _mixing() -> frozenset[Callable[..., Any]]:
    """Functions that take weights beside activations and refuse two types at once."""
    import torch

    names = ("conv1d", "conv2d", "conv3d", "conv_transpose2d", "layer_norm", "group_norm", "rms_norm", "bilinear")
    products = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.addmm, torch.mm)
    functional = torch.nn.functional
    attention = (functional.scaled_dot_product_attention, functional.multi_head_attention_forward)
    return frozenset({*attention, *products, *(getattr(functional, name) for name in names)})


@cache
def _placing() -> frozenset[Callable[..., Any]]:
    """Functions that put features among embeddings and refuse two types; SmolVLM rounds its image to the weights' before."""
    import torch

    tensor = torch.Tensor
    return frozenset({torch.masked_scatter, tensor.masked_scatter, tensor.masked_scatter_, tensor.__setitem__})


def _is_half(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16


def _widened(value: Any) -> Any:
    if _is_half(value):
        return value.float()
    return type(value)(map(_widened, value)) if type(value) in (list, tuple) else value
