"""S3 on this host, which can be away for a while, or slow."""

from __future__ import annotations

import logging
import threading
import time
import urllib.request

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.sweeps.servers import free_port

REFUSED = (
    b"<?xml version='1.0'?><Error><Code>ServiceUnavailable</Code>"
    b"<Message>Please try again.</Message></Error>"
)
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


class S3Server:
    """An S3 with an empty bucket called results, in front of which stands what makes it fail.

    Attributes:
        away: While true, each request is answered with 503.
        full: While true, those that write are.
        blinks: So many requests to come are.
        seconds: That each answer takes.
        refused: Requests that were refused so far.
        answered: All others.
    """

    def __init__(self):
        self.away = self.full = False
        self.blinks = 0
        self.seconds, self.refused, self.answered = 0.0, 0, 0
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line per request
        self._app = DomainDispatcherApplication(create_backend_app)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = make_server("127.0.0.1", self.port, self, threaded=True)
        self.env = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            **{name.upper(): value for name, value in KEYS.items()},
        }

    def __call__(self, environ, start_response):
        self.blinks -= 1
        if (
            self.away
            or self.blinks >= 0
            or (self.full and environ["REQUEST_METHOD"] in ("PUT", "POST"))
        ):
            self.refused += 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Service Unavailable", [("Content-Type", "application/xml")])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [REFUSED]
        self.answered += 1
        time.sleep(self.seconds)
        return self._app(environ, start_response)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        reset = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset).close()  # a process holds one S3
        self.client = boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **KEYS)
        self.client.create_bucket(Bucket="results")
        return self

    def __exit__(self, *error):
        self._server.shutdown()
