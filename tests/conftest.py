"""What all tests share: stores to run the same assertions on, and that nothing of the user's Prefect profile, cloud credentials
or endpoints leaks into a test.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("presel", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("presel")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "AWS_PROFILE", "AWS_ENDPOINT_URL", "OPENAI_API_KEY"):
    os.environ.pop(name, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick", action="store_true", help="skip whatever needs a server, a browser, a model or a process"
    )


def pytest_collection(session: pytest.Session) -> None:
    config = session.config
    leads = config.getoption("numprocesses", None) and not hasattr(
        config, "workerinput"
    )  # xdist starts processes itself
    if config.getoption("--quick") and not leads:
        from tests.quick import begin

        begin()


@pytest.fixture(autouse=True)
def environment_as_it_was() -> Iterator[None]:
    """A command line chooses Prefect's settings for its whole process: what one test chose is not the next one's."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def engines_may_be_opened() -> Iterator[None]:
    """A test that ends a run tells the whole process to buy nothing more: the next one's engines are its own."""
    yield
    if (sharing := sys.modules.get("presel.instruct.sharing")) is not None:
        sharing.resume()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server in this process; while the tests of one module run, the environment points at it."""
    from tests.storage_servers import s3_server

    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["folder", "s3"])
def uri(request: pytest.FixtureRequest, server: str, tmp_path: Path) -> str:
    """An empty root, once in a folder and once on S3."""
    from tests.storage_servers import address

    return address(request.param, tmp_path)
