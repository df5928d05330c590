"""Tells MLflow's refusals from outages: only an outage is worth waiting for."""

from __future__ import annotations

from mlflow.exceptions import MlflowException

REFUSALS = frozenset(
    {
        "BAD_REQUEST",
        "CUSTOMER_UNAUTHORIZED",
        "ENDPOINT_NOT_FOUND",
        "FEATURE_DISABLED",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "MALFORMED_REQUEST",
        "NOT_IMPLEMENTED",
        "PERMISSION_DENIED",
        "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_DOES_NOT_EXIST",
        "UNAUTHENTICATED",
    }
)
"""Error codes of MLflow that the same request would meet again."""


def is_permanent(error: Exception) -> bool:
    """Tells whether MLflow answered, and refused what it was asked.

    >>> is_permanent(MlflowException.invalid_parameter_value("a name is too long"))
    True
    >>> is_permanent(MlflowException("no connection"))
    False
    """
    return isinstance(error, MlflowException) and error.error_code in REFUSALS
