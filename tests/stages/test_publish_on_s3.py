from collections.abc import Iterator
from pathlib import Path

import pytest

from presel.dataset import versions
from presel.stages.publish import publish
from presel.storage import open_store
from tests.report.synthetic import make
from tests.storage_servers import new_bucket, s3_server


@pytest.fixture
def bucket() -> Iterator[str]:
    with s3_server():
        yield new_bucket()


def test_a_version_on_s3_holds_the_same_bytes_as_one_in_a_folder(bucket: str, tmp_path: Path) -> None:
    folder = publish(make(tmp_path / "a", tasks=("ocr", "photo"), per_task=40))
    run = make(tmp_path / "b", tasks=("ocr", "photo"), per_task=40, store=bucket)
    remote = publish(run)
    assert remote.uri == f"{bucket}/datasets/drawn/1"
    assert remote.digest == folder.digest
    assert versions.verify(remote) == []
    assert publish(run) == remote
    assert versions.latest(bucket, "drawn") == remote
    assert open_store(bucket).exists("datasets/drawn/latest.json")
