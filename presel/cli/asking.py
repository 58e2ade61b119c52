"""The questions of `presel init` in a terminal: each says at once what its answer comes to, and none writes anything."""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING, Any

import typer
from pydantic import ValidationError

from presel.cli.console import screen, visible
from presel.config import GeneratorConfig, SourceConfig
from presel.config.source import TaskRule
from presel.errors import ConfigError, PreselError
from presel.runs.figures import dollars

if TYPE_CHECKING:
    from presel.sources.preview import Preview

_RULES: dict[str, object] = {"prefix": "prefix", "single": "single", "second": {"depth": 2}}
_ASK_RULE = (
    "What names a task? prefix: the first folder; second: its second; single: one for all; or a pattern with {task}"
)
_LINES = 8
_PRICE = {"input_per_million": "in", "output_per_million": "out"}


def is_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask() -> dict[str, object]:
    """The answers, by dotted name with `__` for the dot. Raises typer.Abort for Ctrl-C and the end of input."""
    _say("Enter takes what stands in [brackets]. Ctrl-C writes nothing.\n")
    uri = typer.prompt("Where are the images? s3://bucket/prefix or a folder")
    tasks, found = _rule(uri)
    filled: dict[str, object] = {"source__uri": uri, "source__tasks": tasks}
    filled["store"] = typer.prompt("Where shall presel keep what it makes?", default=_store_beside(uri))
    filled |= _model()
    share = _share()
    filled["budget__share"] = share
    most = _price(found, share, filled)
    told = typer.prompt("What may this store spend in all, in US dollars?", default=most, type=float)
    return {**filled, "generator__max_cost": max(0.0, told)}


def _say(words: str) -> None:
    screen.print(visible(words) if "\n" not in words else words, markup=False, soft_wrap=True)


def _rule(uri: str) -> tuple[object, Preview | None]:
    """The rule for tasks, once it makes of the source what the person means."""
    said = "prefix"
    while True:
        try:
            found = _shown(uri, _RULES.get(said, {"pattern": said}))
        except ValidationError as error:
            _say(f"  {error.errors()[0]['msg']}")
            said = "prefix"
            continue
        answer = typer.prompt(_ASK_RULE, default=said)
        if answer == said:
            return _RULES.get(said, {"pattern": said}), found
        said = answer


def _shown(uri: str, tasks: object) -> Preview | None:
    from presel.sources import open_source
    from presel.sources.preview import preview

    rule: Any = TaskRule.model_validate(tasks) if isinstance(tasks, dict) else tasks
    try:
        found = preview(open_source(SourceConfig(uri=uri, tasks=rule)))
    except PreselError as error:
        _say(f"  It cannot be listed yet: {error}")
        return None
    _say(f"  {found.words}")
    lines = found.lines()
    for line in lines[:_LINES]:
        _say(f"    {line}")
    if len(lines) > _LINES:
        _say(f"    and {len(lines) - _LINES} more")
    if found.advice:
        _say(f"  {found.advice}")
    return found


def _store_beside(uri: str) -> str:
    if uri.startswith("s3://"):
        return f"s3://{uri.removeprefix('s3://').partition('/')[0]}/presel"
    return "presel-store"


def _model() -> dict[str, object]:
    """A model with a price: one that nobody knows is asked for."""
    from presel.instruct.money.prices import price_of

    default = GeneratorConfig.model_fields["model"].default
    model = typer.prompt("Which model writes the instructions?", default=default)
    base = typer.prompt("Where does it answer?", default=GeneratorConfig.model_fields["base_url"].default)
    filled: dict[str, object] = {"generator__model": model, "generator__base_url": base}
    try:
        price = price_of(GeneratorConfig(model=model, max_cost=0.0))
    except ConfigError:
        _say("  Its price is not known; a server of your own may cost 0.")
        asked = {name: f"US dollars per million tokens {way}" for name, way in _PRICE.items()}
        filled["generator__prices"] = {name: typer.prompt(words, type=float) for name, words in asked.items()}
    else:
        _say(f"  ${price.input_per_million:g} per million tokens in, ${price.output_per_million:g} out")
    named = GeneratorConfig.model_fields["api_key_env"].default
    variable = typer.prompt("Which environment variable holds its key?", default=named)
    if not os.environ.get(variable):
        _say(f"  It is not set: export {variable}=... before `presel plan`.")
    return {**filled, "generator__api_key_env": variable}


def _share() -> float:
    """A share of the images, as 0.15 or 15%."""
    while True:
        said = str(typer.prompt("Which share of the images shall be instructed?", default="15%")).strip()
        try:
            share = float(said.removesuffix("%")) / (100 if said.endswith("%") else 1)
        except ValueError:
            share = 0.0
        if 0 < share <= 1:
            return round(share, 6)
        _say("  A share lies between 0 and 1, or 0% and 100%.")


def _price(found: Preview | None, share: float, filled: dict[str, object]) -> float:
    """What that costs at most, in words; returned rounded up, as the cap that is proposed."""
    from presel.instruct.money.bounds import at_most

    if found is None or not found.counts:
        return 25.0
    generator = GeneratorConfig.model_validate(
        {name.removeprefix("generator__"): value for name, value in filled.items() if name.startswith("generator__")}
        | {"max_cost": 0.0}
    )
    chosen = {task: math.ceil(share * count) for task, count in found.counts.items()}
    most, everything = at_most(chosen, generator), at_most(dict(found.counts), generator)
    images = f"{sum(chosen.values()):,} of {found.counts.total():,} images"
    _say(f"  That is {images}: at most {dollars(most)}; all of them at most {dollars(everything)}. Bills are lower.")
    return math.ceil(100 * most) / 100
