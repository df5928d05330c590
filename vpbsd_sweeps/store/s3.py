"""What S3 answers when it is busy, and how requests ride that out."""

from __future__ import annotations

from typing import Any


def retries(url: str) -> dict[str, Any]:
    """Returns options of a file system by which it rides out what lasts seconds.

    s3fs repeats no request that was answered with 503 ServiceUnavailable, unless it is told to.
    """
    if not url.startswith(("s3://", "s3a://")):
        return {}
    from s3fs.core import set_custom_error_handler  # an optional dependency

    set_custom_error_handler(_is_overloaded)
    return {"config_kwargs": {"retries": {"mode": "adaptive", "max_attempts": 4}}}


def _is_overloaded(error: Exception) -> bool:
    """Tells whether S3 has answered that it cannot answer now."""
    response = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 500
