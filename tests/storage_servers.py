"""Stores to run the same assertions on: a local folder, and an S3 server in this process, spoken to over HTTP.

Where PRESEL_TEST_S3 names another server (MinIO, Ceph, `rclone serve s3 --auth-key test,testtest`), that one is used.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from presel.demo.setting import environment

_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3 endpoint; while it runs, the environment points at it."""
    if other := os.environ.get("PRESEL_TEST_S3"):
        with environment(AWS_ENDPOINT_URL=other, **_CREDENTIALS):
            yield other
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with environment(AWS_ENDPOINT_URL=f"http://{host}:{port}", **_CREDENTIALS):
            yield os.environ["AWS_ENDPOINT_URL"]
    finally:
        server.stop()


def new_bucket() -> str:
    """The address of an empty bucket on the running server."""
    from presel.storage.s3 import client

    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client().create_bucket(Bucket=name)
    return f"s3://{name}/below/a prefix"


def address(kind: str, folder: Path) -> str:
    """An empty root of that kind: `folder` or `s3`."""
    return str(folder / "root") if kind == "folder" else new_bucket()
