"""Objects of S3, Google Cloud Storage and web servers through TensorStore's key-value stores.

Credentials are found as by each provider's own tools: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `~/.aws`
and the role of a machine; `GOOGLE_APPLICATION_CREDENTIALS` and gcloud's. `AWS_ENDPOINT_URL` names
another S3 than Amazon's, `AWS_REGION` its region.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import tensorstore as ts

from hsisr_jax.errors import UserError
from hsisr_jax.formats.places import Place, Url

RETRIES = {"max_retries": 7, "initial_delay": "500ms", "max_delay": "16s"}  # up to a minute
KEYS = "credentials are those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or ~/.aws"
TOKENS = "credentials are those of GOOGLE_APPLICATION_CREDENTIALS or gcloud auth"
DENIED = ("PERMISSION_DENIED", "UNAUTHENTICATED", "AccessDenied",
          "InvalidAccessKeyId", "SignatureDoesNotMatch", "credentials")  # fmt: skip
UNREACHED = ("curl_code", "UNAVAILABLE", "DEADLINE_EXCEEDED", "retry attempts failed")


@cache
def context() -> ts.Context:
    """The settings that all stores of this process share: retries and credentials."""
    retries = {f"{driver}_request_retries": RETRIES for driver in ("s3", "gcs", "http")}
    named = all(os.environ.get(f"AWS_{n}") for n in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    return ts.Context(
        {**retries, "aws_credentials": {"type": "environment" if named else "default"}}
    )


def spec(url: Url, name: str = "") -> Any:
    """TensorStore's description of what lies below a URL."""
    if url.scheme in ("http", "https"):
        return "/".join(filter(None, [url.rstrip("/"), name])) + "/"
    path = "".join(f"{part}/" for part in (url.key, name) if part)
    if url.scheme == "file":
        return {"driver": "file", "path": f"/{path}"}
    if url.scheme == "gs":
        return {"driver": "gcs", "bucket": url.bucket, "path": path}
    found = {"driver": "s3", "bucket": url.bucket, "path": path}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:  # TensorStore asks Amazon for the region of a bucket of theirs
        return found | {"endpoint": endpoint, "aws_region": region or "us-east-1"}
    return found


class Objects:
    """The objects below a URL, by their names; every failure is a `UserError`."""

    def __init__(self, url: Url):
        self.url = url
        with reached(url):
            self.store = ts.KvStore.open(spec(url), context=context()).result()

    def get(self, name: str) -> bytes | None:
        """An object's content; None where there is none."""
        return self.stamped(name)[0]

    def stamped(self, name: str) -> tuple[bytes | None, bytes]:
        """An object's content and the stamp of its version, for `put`."""
        with reached(self.url):
            found = self.store.read(name).result()
        return found.value if found.state == "value" else None, found.stamp.generation

    def put(self, name: str, content: bytes, *, instead_of: bytes | None = None) -> bool:
        """Writes an object; False if it is no longer in the state that `instead_of` marks."""
        with reached(self.url):
            return bool(self.store.write(name, content, if_equal=instead_of).result().generation)

    def names(self, prefix: str = "") -> list[str]:
        """Names that begin so, sorted."""
        with reached(self.url):
            found = [name.decode() for name in self.store.list(_beginning(prefix)).result()]
        return sorted(name for name in found if name.startswith(prefix))  # some servers list all

    def delete(self, prefix: str = "") -> None:
        """Deletes objects whose names begin so, each by its name."""
        names = self.names(prefix)
        with reached(self.url):
            for deleted in [self.store.write(name, None) for name in names]:
                deleted.result()


def _beginning(prefix: str) -> ts.KvStore.KeyRange:
    """Keys that begin so: up to the first that does not, a letter later at the end."""
    if not prefix:
        return ts.KvStore.KeyRange()
    return ts.KvStore.KeyRange(prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def get(url: Url) -> bytes | None:
    """The content of one object; None where there is none."""
    return Objects(url.parent).get(url.name)


def put(url: Url, content: bytes) -> None:
    """Writes one object."""
    Objects(url.parent).put(url.name, content)


@contextmanager
def reached(place: Place) -> Iterator[None]:
    """Turns what a provider or the network answers into one line; errors of a local folder stay."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not isinstance(place, Url):
            raise
        raise UserError(f"{place}: {_told(place, error)}") from error


def _told(url: Url, error: Exception) -> str:
    text = str(error)
    if isinstance(error, NotImplementedError):
        return "can be read, and not written or listed; use s3:// or gs://"
    known = TOKENS if url.scheme == "gs" else KEYS if url.scheme == "s3" else "it asks for a login"
    why = " ".join(text.partition("[")[0].split())[:200]
    if "NoSuchBucket" in text or "bucket does not exist" in text:
        return f"there is no bucket {url.bucket!r}; check its name (and AWS_ENDPOINT_URL)"
    if any(word in text for word in DENIED):
        return f"access is denied; {known} ({why})"
    if any(word in text for word in UNREACHED):
        return f"the server does not answer ({why}); check the URL and the network"
    return f"cannot be read or written there ({why})"
