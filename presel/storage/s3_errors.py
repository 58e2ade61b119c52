"""What an S3 server's refusals mean, in one table, whether boto3 or obstore brought them.

Three kinds have to be told apart, since a run treats them differently. What is wrong with one object (gone, forbidden,
archived) costs that object. What may pass (throttled, broken off, slow) is tried again. What is wrong with the caller
(expired or unknown credentials, a clock that is off, another region, a bucket that is gone) meets every object alike: it
ends the run and says what to do, or it would turn a whole pool into rejects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from presel.errors import (
    AccessDenied,
    AlreadyExists,
    NotFound,
    ObjectArchived,
    ObjectChanged,
    StorageError,
    StorageUnavailable,
)

_MEANING: dict[str, type[StorageError]] = {
    "NoSuchKey": NotFound,
    "404": NotFound,
    "NotFound": NotFound,
    "AccessDenied": AccessDenied,
    "403": AccessDenied,
    "Forbidden": AccessDenied,
    "InvalidRequest": AccessDenied,  # of a read: encrypted with a key that the reader has to send
    "405": NotFound,
    "MethodNotAllowed": NotFound,  # a delete marker
    "InvalidObjectState": ObjectArchived,
    "PreconditionFailed": AlreadyExists,
    "412": AlreadyExists,
    "ConditionalRequestConflict": AlreadyExists,
    "SlowDown": StorageUnavailable,
    "Throttling": StorageUnavailable,
    "ServiceUnavailable": StorageUnavailable,
    "InternalError": StorageUnavailable,
    "RequestTimeout": StorageUnavailable,
    "IncompleteBody": StorageUnavailable,
    "BadDigest": StorageUnavailable,
    "500": StorageUnavailable,
    "502": StorageUnavailable,
    "503": StorageUnavailable,
    "504": StorageUnavailable,
}
_CREDENTIALS = "renew the credentials (AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret and token), then run again"
_REGION = "name the bucket's region in `source.s3.region` or AWS_REGION"
_CALLER = {
    "ExpiredToken": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "TokenRefreshRequired": _CREDENTIALS,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "RequestExpired": _CREDENTIALS,
    "RequestTimeTooSkewed": "set this machine's clock, then run again",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "NoSuchBucket": "check the address, and whether the bucket was deleted or belongs to another endpoint",
    "AllAccessDisabled": "the bucket's owner has to enable it again",
}
"""Codes that say nothing about an object, and what the caller has to do."""
SUSPECTS: dict[str, tuple[re.Pattern[str], str]] = {
    "checksums": (
        re.compile(r"checksum|trailer|crc32|crc64|content-?sha256|aws-chunked|MissingContentLength", re.I),
        "export AWS_REQUEST_CHECKSUM_CALCULATION=when_required",
    ),
    "attributes": (re.compile(r"optional-?object-?attributes", re.I), "upgrade the server, or use another one"),
    "match": (re.compile(r"if-match", re.I), "upgrade the server, or use another one"),
    "none-match": (re.compile(r"if-none-match", re.I), "upgrade the server, or keep the store on another one"),
}
"""Headers that newer clients send and some servers (R2, B2, older MinIO) refuse, by which words, and what helps where leaving
them out does not. The last one keeps two runs from spending the same money: it is never left out."""
_UNNAMED = re.compile(r"^(NotImplemented|501|MissingContentLength|411|MalformedTrailerError)$")
_CODE = re.compile(r"<Code>\s*([\w.]+)\s*</Code>")
NETWORK = "check AWS_ENDPOINT_URL (or source.s3) and the network"


def meaning(code: str, message: str, where: str) -> StorageError | None:
    """The error that a server's code stands for; None for a code that is not known."""
    if code in _CALLER:
        return StorageError(f"{code}: {message}" if message else code, where=where, fix=_CALLER[code])
    # `KMS.DisabledException` and its kind: the object is there, the key to it is not.
    kind = AccessDenied if code.startswith("KMS.") else _MEANING.get(code)
    return kind(f"{code}: {message}" if message else code, where=where) if kind else None


@contextmanager
def translated(where: str) -> Iterator[None]:
    """What boto3 still calls an error after its retries, as one of ours."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        raise _from_response(error, where) from error
    except NoCredentialsError as error:
        fix = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached"
        raise StorageError("no S3 credentials were found", where=where, fix=fix) from error
    except (BotoCoreError, HTTPError) as error:
        raise StorageUnavailable(str(error), where=where, fix=NETWORK) from error


def was_retried(error: StorageError) -> bool:
    """Whether boto3 had sent the request more than once."""
    answer: Any = getattr(error.__cause__, "response", {})
    return bool(answer.get("ResponseMetadata", {}).get("RetryAttempts"))


@contextmanager
def translated_bulk(where: str) -> Iterator[None]:
    """The same for obstore, whose types are few; the server's own code stands in the text.

    Not obstore's own words: how many milliseconds it took would make two equal refusals two different rejects.
    """
    from obstore import exceptions

    try:
        yield
    except (exceptions.BaseError, FileNotFoundError) as error:
        found = _CODE.search(str(error))
        raise _by_type(error, where) or _by_code(found[1] if found else "", error, where) from error


def _by_type(error: Exception, where: str) -> StorageError | None:
    """What concerns one object, in words that are the same every time: they end in a reject's detail."""
    from obstore import exceptions

    text = str(error)
    if isinstance(error, exceptions.PreconditionError):
        return ObjectChanged("it was overwritten since it was listed", where=where)
    if "<Code>InvalidObjectState" in text:
        return ObjectArchived("it is archived", where=where)
    if any(f"<Code>{code}<" in text for code in _CALLER):
        return None
    if isinstance(error, exceptions.NotFoundError | FileNotFoundError):
        return NotFound("no such object", where=where)
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return AccessDenied("the server denies access", where=where)
    return None


def _by_code(code: str, error: Exception, where: str) -> StorageError:
    said = str(error).strip().partition("\n")[0][:300]
    return meaning(code, "", where) or StorageUnavailable(said, where=where, fix=NETWORK)


def _from_response(error: Any, where: str) -> StorageError:
    said = error.response.get("Error", {})
    code, message = said.get("Code", ""), said.get("Message", "")
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    return (
        _unknown_header(code, message, status, where)
        or meaning(code, message, where)
        or meaning(status, message, where)
        or StorageError(f"{code}: {message or error}", where=where)
    )


def suspects(error: StorageError) -> frozenset[str]:
    """What a refused request may be sent again without: headers that the refusal names, or all where it names none."""
    answer: Any = getattr(error.__cause__, "response", None)
    if not isinstance(answer, dict):
        return frozenset()
    said = answer.get("Error", {})
    status = str(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    named = _named(" ".join(str(value) for value in said.values()), str(said.get("Code", "")), status)
    if not named and (_UNNAMED.match(str(said.get("Code", ""))) or status in ("411", "501")):
        named = frozenset(SUSPECTS)
    return named - {"none-match"}


def _named(text: str, code: str, status: str) -> frozenset[str]:
    if status not in ("400", "403", "411", "501") or code == "BadDigest":
        return frozenset()
    return frozenset(name for name, (words, _) in SUSPECTS.items() if words.search(text))


def _unknown_header(code: str, message: str, status: str, where: str) -> StorageError | None:
    """A refusal of the request's form, which every request of this kind meets: no object is at fault."""
    named = _named(f"{code} {message}", code, status)
    fix = next((cure for name, (_, cure) in SUSPECTS.items() if name in named), None)
    return StorageError(f"{code}: {message}", where=where, fix=fix) if fix else None
