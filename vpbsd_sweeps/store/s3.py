"""What S3 answers when it is busy, and how requests ride that out."""

from __future__ import annotations

from typing import Any

S3 = ("s3://", "s3a://")
AT_ONCE = 50  # connections: a plan reads thousands of manifests


def retries(url: str) -> dict[str, Any]:
    """Returns options of a file system by which it rides out what lasts seconds.

    s3fs repeats no request that was answered with 503 ServiceUnavailable, unless it is told to.
    """
    if not url.startswith(S3):
        return {}
    from s3fs.core import set_custom_error_handler  # an optional dependency

    set_custom_error_handler(_is_overloaded)
    retry = {"mode": "adaptive", "max_attempts": 4}
    return {"config_kwargs": {"retries": retry, "max_pool_connections": AT_ONCE}}


def _is_overloaded(error: Exception) -> bool:
    """Tells whether S3 has answered that it cannot answer now."""
    response = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 500


def in_one_request(url: str) -> dict[str, Any]:
    """Returns options that read a small file as it is: s3fs asks for its size before."""
    return {"max_concurrency": 1} if url.startswith(S3) else {}
