"""`presel doctor`: does everything that a run needs answer? One line each, with the fix, and how to go on without it. Costs
nothing, changes nothing.

All are asked at once and none is waited for longer than `--patience`. What is late on the network is an error; a model that is
late is still being read or fetched. (The store check writes one small object and deletes it: being able to write is the
question.)
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

from presel.cli.console import screen, show, visible
from presel.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Overrides
from presel.cli.private_server import HOME
from presel.config import RefreshConfig, installed
from presel.config.file import load
from presel.errors import AlreadyExists, MissingExtra, PreselError, __version__, require
from presel.storage import trust

PATIENCE = 5.0
"""Seconds for each check."""
_AT_WORK = ("encoder", "reference", "gpu")
"""Checks that read models: to be late is no fault."""
_WITHOUT = {
    "source": "`presel demo` runs on pictures of its own",
    "store": "a folder will do for one machine",
    "credentials": "`presel plan` needs none",
    "endpoint": "`presel plan` needs none, and `presel demo endpoint` stands in for one",
    "prices": "`generator.prices` names one; both 0 for a server of your own",
    "encoder": "`encoder.name: builtin` needs no weights",
    "reference": "`reference_model.precomputed` takes scores from a file, `reference_model.served` from a server",
    "server": "without PREFECT_API_URL each run starts a private one",
}
"""How to go on without what a check did not find."""
Level = Literal["ok", "warning", "error"]


class Finding(NamedTuple):
    check: str
    level: Level
    said: str
    fix: str = ""


def doctor(
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006
    patience: Annotated[float, typer.Option(help="Seconds for each check; more lets models be fetched.")] = PATIENCE,
    as_json: AsJson = False,
) -> None:
    """Does everything that a run needs answer, from the source to the Prefect server? Exit code 1 if something is amiss."""
    from presel.cli.prefect_run import directly_to_loopback

    settings = load(config, overrides)
    directly_to_loopback()
    findings = [Finding("config", "ok", f"{config} is valid"), *_all_at_once(settings, patience)]

    def words() -> None:
        marks = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "error": "[red]error  [/]"}
        for finding in findings:
            screen.print(f"{marks[finding.level]} [bold]{finding.check:<9}[/]", end=" ")
            screen.print(finding.said + (f"; {finding.fix}" if finding.fix else ""), markup=False, soft_wrap=True)

    show([finding._asdict() for finding in findings], as_json, words)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def _all_at_once(settings: RefreshConfig, patience: float) -> list[Finding]:
    """Every check in a thread of its own, so that one thing which does not answer is not waited for by the others."""
    done = {
        check.__name__: _tried(check, settings) for check in (install, network)
    }  # before Prefect is told its settings
    _import_what_is_needed(settings)

    def tried(check: Callable[[RefreshConfig], Finding]) -> None:
        done[check.__name__] = _tried(check, settings)

    asked = [check for check in CHECKS if check.__name__ not in done]
    threads = [threading.Thread(target=tried, args=(check,), daemon=True) for check in asked]
    for thread in threads:
        thread.start()
    until = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    found = ((check.__name__, done.get(check.__name__) or _late(check.__name__, patience)) for check in CHECKS)
    return [_with_another_way(name, finding) for name, finding in found]


def _import_what_is_needed(settings: RefreshConfig) -> None:
    """One after the other and before the clock runs: imports wait for one another anyway."""
    from presel.cli.prefect_run import quiet

    modules = ["presel.instruct.endpoint.client", "genai_prices", "torch"]
    modules += ["boto3"] if "s3://" in f"{settings.store} {settings.source.uri}" else []
    modules += ["transformers"] if settings.reference_model.precomputed is None else []
    for module in modules:
        with suppress(ImportError, PreselError):
            importlib.import_module(module)
    with suppress(PreselError):
        quiet()


def _late(check: str, patience: float) -> Finding:
    if check in _AT_WORK:
        fix = "a run waits for it; `presel doctor --patience 900` fetches it now"
        return Finding(check, "warning", f"not read within {patience:g} s", fix)
    fix = "look at what the configuration names there, and at the network"
    return Finding(check, "error", f"no answer within {patience:g} s", fix)


def _with_another_way(name: str, finding: Finding) -> Finding:
    another = _WITHOUT.get(name, "")
    if finding.level == "ok" or finding.check == "gpu" or not another or another in finding.fix:
        return finding
    late_model = finding.level == "warning" and name in _AT_WORK and finding.said.startswith("not read")
    if finding.level != "error" and not late_model:
        return finding
    return finding._replace(fix="; ".join(filter(None, [finding.fix, another])))


def _tried(check: Callable[[RefreshConfig], Finding], settings: RefreshConfig) -> Finding:
    try:
        return check(settings)
    except PreselError as error:
        where = f"{error.where}: " if error.where else ""
        return Finding(check.__name__, "error", f"{where}{error.what}", error.fix or "")
    except Exception as error:  # a check of one thing must not hide the others
        return Finding(check.__name__, "error", f"{type(error).__name__}: {error}"[:300])


def install(_settings: RefreshConfig) -> Finding:
    """Whether the flows that would run are this presel's."""
    if said := list(installed.strangers()):
        return Finding("install", "error", "; ".join(said), installed.AGAIN)
    return Finding("install", "ok", f"presel {__version__} is whole")


def source(settings: RefreshConfig) -> Finding:
    from presel.sources import open_source
    from presel.sources.preview import preview

    found = preview(open_source(settings.source), without=settings.store)
    if not found.counts and not found.homeless:
        return Finding("source", "error", f"no image below {settings.source.uri}", "check source.uri")
    said = "\n          ".join([f"{settings.source.uri}: {found.words}", *map(visible, found.lines())])
    if not found.counts:
        return Finding("source", "error", said, found.advice or "correct source.tasks: no object has a task")
    return Finding("source", "warning" if found.advice else "ok", said, found.advice)


def store(settings: RefreshConfig) -> Finding:
    from presel.storage import open_store

    place, probe = open_store(settings.store), f"probe/{secrets.token_hex(8)}"
    place.create(probe, b"probe")
    try:
        place.create(probe, b"probe again")
    except AlreadyExists:
        return Finding("store", "ok", f"{settings.store} can be written, and conditional creates hold")
    finally:
        place.delete(probe)
    fix = "run one refresh at a time on this store (deployment concurrency 1), or use AWS S3, Ceph or MinIO"
    return Finding("store", "warning", f"{settings.store} ignores conditional creates", fix)


def credentials(settings: RefreshConfig) -> Finding:
    name = settings.generator.api_key_env
    if settings.generator.only_people:
        return Finding("api key", "ok", "none is needed: people write the instructions")
    if not os.environ.get(name):
        return Finding("api key", "error", f"${name} is not set", f"export {name}=...")
    return Finding("api key", "ok", f"${name} is set")


def endpoint(settings: RefreshConfig) -> Finding:
    from presel.instruct.endpoint.client import reached

    if settings.generator.only_people:
        return Finding("endpoint", "ok", "none is needed: people write the instructions")
    url, query, headers = reached(settings.generator)
    return _answers("endpoint", url, settings.generator.api_key_env, "generator.base_url", headers, query)


def _answers(
    check: str,
    url: str,
    key_variable: str,
    field: str,
    headers: Mapping[str, str],
    query: Mapping[str, str] | None = None,
) -> Finding:
    """Whether an OpenAI-compatible server is there and takes the key; asking for its models costs nothing."""
    import httpx2

    try:
        how: dict[str, Any] = {"timeout": PATIENCE, "verify": trust.context()}
        with httpx2.stream("GET", f"{url}/models", headers=dict(headers), params=dict(query or {}), **how) as answer:
            status = answer.status_code  # of the body, which may be of any size, nothing is needed
    except httpx2.HTTPError as error:
        return Finding(check, "error", f"{url} does not answer ({type(error).__name__})", f"check {field}")
    if status in (401, 403):
        return Finding(check, "error", f"{url} refuses the key ({status})", f"check ${key_variable}")
    if status >= 500 or status == 407:
        return Finding(check, "error", f"{url} answers with {status}", f"check {field}, and the proxy if there is one")
    return Finding(check, "ok", f"{url} answers")


def prices(settings: RefreshConfig) -> Finding:
    from presel.instruct.money.prices import price_of

    cap, people = settings.generator.max_cost, settings.generator.people
    limit = "no cap" if cap == "unlimited" else f"cap ${cap:,.2f}"
    if settings.generator.only_people:
        return Finding(
            "price", "ok", f"people: ${people.hourly_rate:g} an hour, {people.minutes:g} min a picture; {limit}"
        )
    price = price_of(settings.generator)
    return Finding(
        "price",
        "ok",
        f"{settings.generator.model}: ${price.input_per_million:g} in, ${price.output_per_million:g} out "
        f"per million tokens; {limit}",
    )


def encoder(settings: RefreshConfig) -> Finding:
    from presel.encoders import load_encoder
    from presel.encoders.licences import licence

    loaded, terms = load_encoder(settings.encoder), licence(settings.encoder.name)
    level: Level = "ok" if terms.commercial else "warning"
    return Finding("encoder", level, f"{settings.encoder.name} loads, {loaded.dimensions} dimensions; {terms.said}")


def reference(settings: RefreshConfig) -> Finding:
    """The model that scores; of one that is fitted here the processor alone, since its weights are gigabytes."""
    config = settings.reference_model
    if config.precomputed is not None:
        from presel.reference_model import imports

        table = imports.parse(imports.fetch(config.precomputed), config.precomputed)
        return Finding("reference", "ok", f"{config.precomputed} can be read: {table.num_rows:,} rows")
    if config.verdict is not None:
        from presel.instruct.endpoint.client import reached
        from presel.instruct.verdict import api

        url, query, headers = reached(api(config.verdict, "unlimited"))
        return _answers(
            "reference", url, config.verdict.api_key_env, "reference_model.verdict.base_url", headers, query
        )
    if config.served is not None:
        url = os.path.expandvars(config.served.base_url).rstrip("/")
        key = os.environ.get(config.served.api_key_env, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return _answers("reference", url, config.served.api_key_env, "reference_model.served.base_url", headers)
    from presel.reference_model.backbone import load_processor

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every try; the finding tells of the last
    load_processor(config)
    return Finding("reference", "ok", f"the processor of {config.model} loads; its weights are read by the first run")


def network(_settings: RefreshConfig) -> Finding:
    """What stands between this machine and the others: whose certificates count, which proxy is gone through."""
    found = trust.named()
    trust.bundle()
    names = {path: [name for name in found if found[name] == path] for path in found.values()}
    said = [f"certificates of {path} ({', '.join(names[path])}) are trusted beside the usual ones" for path in names]
    proxies = [name for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") if os.environ.get(name)]
    said += [f"{' and '.join(proxies)} for other machines, none for this one"] if proxies else []
    return Finding("network", "ok", "; ".join(said) or "the usual certificates, no proxy")


def gpu(_settings: RefreshConfig) -> Finding:
    try:
        require("models", "a GPU")
    except MissingExtra as error:
        return Finding("gpu", "warning", error.what)
    import torch

    if torch.cuda.is_available():
        return Finding("gpu", "ok", torch.cuda.get_device_name(0))
    return Finding("gpu", "warning", "none: a run goes on without, embedding and fitting take longer")


def server(settings: RefreshConfig) -> Finding:
    """Whether it answers, and whether what it runs by schedule is what the file says."""
    from presel.cli.deployed import configurations, disagreement
    from presel.cli.prefect_run import quiet

    quiet()
    import httpx
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        return Finding("prefect", "ok", _private())
    try:
        httpx.get(f"{url}/health", timeout=PATIENCE, verify=trust.context()).raise_for_status()
    except httpx.HTTPError as error:
        fix = "start it with `prefect server start`, or unset PREFECT_API_URL"
        return Finding("prefect", "error", f"{url} does not answer ({type(error).__name__})", fix)
    try:
        deployed = configurations()
    except httpx.HTTPError as error:
        fix = "check PREFECT_API_URL and PREFECT_API_AUTH_STRING"
        return Finding("prefect", "error", f"{url} does not say what is deployed ({type(error).__name__})", fix)
    if said := disagreement(settings, deployed):
        fix = "make the file and the deployment's `config` say the same, and deploy again (docs/operations.md)"
        return Finding("prefect", "warning", f"{url} answers, but {said}", fix)
    what = "a refresh with this configuration is deployed" if deployed else "no refresh is deployed there"
    return Finding("prefect", "ok", f"{url} answers; {what}")


def _private() -> str:
    said = "no server configured: a private one is started for each run"
    home = os.environ.get("PREFECT_HOME", "")
    moved = Path(home).name.startswith(HOME)
    return f"{said}, below {home}, as Prefect's own folder cannot be written (PREFECT_HOME names it)" if moved else said


CHECKS: tuple[Callable[[RefreshConfig], Finding], ...] = (
    install,
    network,
    source,
    store,
    credentials,
    endpoint,
    prices,
    encoder,
    reference,
    gpu,
    server,
)
