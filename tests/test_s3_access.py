"""How a source on S3 is reached: signed or not, by which profile, endpoint, region and style; and which version is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from presel.config import S3Config, SourceConfig
from presel.demo.setting import environment
from presel.errors import ConfigError
from presel.images import Reason, Rejected
from presel.sources import Source, open_source
from presel.stages.embed import embed_part
from presel.stages.ingest import ingest
from presel.storage import open_store
from presel.storage.s3 import client
from presel.tables import table_store
from tests.s3_recorder import Asked, recorder
from tests.stages.pools import ENCODER, keys, put
from tests.storage_servers import new_bucket

pytestmark = pytest.mark.usefixtures("server")


def reached(server: str, proxied: bool = False, **s3: Any) -> list[Asked]:
    """What a source with these options asks the server when it is listed and read."""
    uri = new_bucket()
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    for key in ("t/1.jpg", "t//odd.jpg"):  # the second takes boto3's way: obstore cannot name it
        client().put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=b"x", ACL="public-read")
    with recorder(server) as (address, heard):
        if proxied:
            s3 |= {"endpoint_url": "http://s3.example.test"}
            with environment(HTTP_PROXY=address, http_proxy=address, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1"):
                _read_all(open_source(SourceConfig(uri=uri, s3=S3Config(**s3))))
        else:
            _read_all(open_source(SourceConfig(uri=uri, s3=S3Config(**{"endpoint_url": address, **s3}))))
    assert len(heard) >= 3
    return heard


def _read_all(source: Source) -> None:
    listed = list(source.entries())
    assert {key for key, _, _ in listed} == {"t/1.jpg", "t//odd.jpg"}
    for key, _, entry in listed:
        assert isinstance(source.read(key, entry.etag), bytes)


def test_requests_go_to_the_sources_own_endpoint_and_are_signed_for_its_region(server: str) -> None:
    heard = reached(server, region="eu-central-1")
    assert all("/eu-central-1/s3/" in asked.headers["authorization"] for asked in heard)


def test_anonymous_requests_carry_no_signature_though_there_are_credentials(server: str) -> None:
    assert all("authorization" not in asked.headers for asked in reached(server, anonymous=True))
    assert all("authorization" in asked.headers for asked in reached(server))


def test_every_request_agrees_to_pay_where_the_requester_pays(server: str) -> None:
    assert all(asked.headers["x-amz-request-payer"] == "requester" for asked in reached(server, requester_pays=True))
    assert all("x-amz-request-payer" not in asked.headers for asked in reached(server))


def test_a_profiles_keys_sign_the_sources_requests_and_nobody_elses(server: str, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[lab]\naws_access_key_id = LABKEY\naws_secret_access_key = x\n")
    with environment(AWS_SHARED_CREDENTIALS_FILE=str(file)):
        assert all("Credential=LABKEY/" in asked.headers["authorization"] for asked in reached(server, profile="lab"))
        assert all("Credential=test/" in asked.headers["authorization"] for asked in reached(server))
        with pytest.raises(ConfigError, match="profile"):
            list(open_source(SourceConfig(uri="s3://b", s3=S3Config(profile="nobody"))).entries())


def test_the_bucket_stands_in_the_path_or_in_the_host_as_asked(server: str) -> None:
    assert all(asked.path.startswith("/bucket-") for asked in reached(server, proxied=True, addressing="path"))
    heard = reached(server, proxied=True, addressing="virtual")
    assert all(asked.host.startswith("bucket-") for asked in heard)
    assert not any(asked.path.startswith("/bucket-") for asked in heard)


def test_anonymous_and_profile_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="exclude"):
        S3Config(anonymous=True, profile="lab")


def test_how_a_source_is_reached_changes_no_key(server: str, tmp_path: Path) -> None:
    uri, store = new_bucket(), str(tmp_path)
    put(uri, *keys("a", 1, 2))
    one = ingest(SourceConfig(uri=uri), store)
    with environment(AWS_ENDPOINT_URL="http://127.0.0.1:9"):
        other = ingest(SourceConfig(uri=uri, s3=S3Config(endpoint_url=server, region="us-east-1")), store)
    assert one == other


def versioned() -> str:
    uri = new_bucket()
    bucket = uri.removeprefix("s3://").partition("/")[0]
    client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return uri


def test_in_a_versioned_bucket_an_overwritten_object_is_read_as_it_was_listed(tmp_path: Path) -> None:
    uri = versioned()
    put(uri, *keys("a", *range(4)))
    source = SourceConfig(uri=uri)
    (part,) = ingest(source, str(tmp_path)).split()
    before = open_store(uri).read("a/002.jpg")
    for _ in range(2):
        open_store(uri).write("a/002.jpg", b"something else")
    etags = {key: entry.etag for key, _, entry in open_source(source).entries()}
    assert etags["a/002.jpg"] != table_store.read(part)["etag"].to_pylist()[2]
    assert open_source(source).read("a/002.jpg", table_store.read(part)["etag"].to_pylist()[2]) == before
    assert embed_part(part, source, ENCODER).rows == 4


def test_in_a_versioned_bucket_a_deleted_object_stays_deleted() -> None:
    uri = versioned()
    put(uri, "a/1.jpg", "a/2.jpg")
    source = open_source(SourceConfig(uri=uri))
    etag = next(iter(source.entries()))[2].etag
    open_store(uri).delete("a/1.jpg")
    refused = source.read("a/1.jpg", etag)
    assert isinstance(refused, Rejected)
    assert refused.reason == Reason.UNREADABLE


def test_without_versions_an_overwritten_object_is_changed() -> None:
    uri = new_bucket()
    put(uri, "a/1.jpg")
    source = open_source(SourceConfig(uri=uri))
    etag = next(iter(source.entries()))[2].etag
    open_store(uri).write("a/1.jpg", b"something else")
    refused = source.read("a/1.jpg", etag)
    assert isinstance(refused, Rejected)
    assert refused.reason == Reason.CHANGED
