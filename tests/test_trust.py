"""A company's own authority counts for S3 and the API alike, whichever variable names it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from presel.demo.setting import environment
from presel.errors import ConfigError, StorageError
from presel.storage import s3_bulk, s3_client, trust
from presel.storage.s3_errors import translated
from tests.certificates import authority


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        for name, value in (
            ("Content-Length", "2"),
            ("ETag", '"x"'),
            ("Last-Modified", "Mon, 30 Nov 2026 10:00:00 GMT"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An https address on this machine, and the file of the authority that vouches for it."""
    trusted, certificate = authority(tmp_path_factory.mktemp("authority"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}", trusted
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("variable", trust.VARIABLES)
def test_an_authority_counts_for_boto3_obstore_and_httpx_whichever_variable_names_it(
    served: tuple[str, Path], variable: str
) -> None:
    address, trusted = served
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "1"}
    with environment(AWS_ENDPOINT_URL=address, **keys, **{variable: str(trusted)}):
        who = s3_client.identity()
        assert s3_bulk.read(who, "bucket", "key", None, "here")[0] == b"ok"
        assert s3_client.client(who).get_object(Bucket="bucket", Key="key")["Body"].read() == b"ok"
        assert httpx2.get(address, verify=trust.context()).text == "ok"
        assert len(trust.context().get_ca_certs()) > 50, "the usual authorities still count"
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(address, verify=trust.context())


def test_a_bundle_that_is_none_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.pem", tmp_path / "text.pem"):
        (tmp_path / "text.pem").write_text("no certificate")
        with environment(REQUESTS_CA_BUNDLE=str(path)), pytest.raises(ConfigError, match="REQUESTS_CA_BUNDLE"):
            trust.bundle()


@pytest.mark.parametrize(
    ("code", "message", "status", "cure"),
    [
        ("NotImplemented", "Header 'x-amz-checksum-crc32' with value 'x' not implemented", 501, "when_required"),
        ("InvalidArgument", "Unsupported header 'x-amz-sdk-checksum-algorithm' received", 400, "when_required"),
        ("InvalidRequest", "STREAMING-UNSIGNED-PAYLOAD-TRAILER is not supported", 400, "when_required"),
        ("NotImplemented", "A header you provided implies functionality: If-None-Match", 501, "another"),
    ],
)
def test_a_server_that_refuses_a_newer_header_is_told_from_one_that_denies_access(
    code: str, message: str, status: int, cure: str
) -> None:
    from botocore.exceptions import ClientError

    said = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(StorageError) as raised, translated("s3://bucket"):
        raise ClientError(said, "PutObject")  # type: ignore[arg-type]
    assert type(raised.value) is StorageError
    assert cure in str(raised.value.fix)
