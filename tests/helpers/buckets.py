"""A local S3: a server of the package `moto`, with one bucket."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import boto3
from moto.server import ThreadedMotoServer

from hsisr_jax.formats import objects

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-central-1"}


class Bucket:
    """The bucket `scenes`, seen through Amazon's own library."""

    def __init__(self, endpoint: str):
        place = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        self.client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **place)
        self.client.create_bucket(Bucket="scenes")

    def names(self, prefix: str = "") -> list[str]:
        """The names of its objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket="scenes", Prefix=prefix
        )
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def get(self, name: str) -> bytes:
        """An object."""
        return self.client.get_object(Bucket="scenes", Key=name)["Body"].read()

    def download(self, prefix: str, folder: Path) -> Path:
        """The objects below a name, as files of a folder."""
        for name in self.names(f"{prefix}/"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.get(name))
        return folder / prefix

    def clear(self) -> None:
        """Deletes everything."""
        for name in self.names():
            self.client.delete_object(Bucket="scenes", Key=name)


@contextlib.contextmanager
def served() -> Iterator[Bucket]:
    """The server, found by the environment as any other S3 is."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        with mock.patch.dict(os.environ, {**KEYS, "AWS_ENDPOINT_URL": endpoint}):
            objects.context.cache_clear()
            yield Bucket(endpoint)
    finally:
        objects.context.cache_clear()
        server.stop()
