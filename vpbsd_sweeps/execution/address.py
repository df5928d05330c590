"""Where the cluster is, and whether anything answers there: known before Ray waits for minutes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from vpbsd.errors import BadInput

HEAD_ON_THIS_HOST = Path("/tmp/ray/ray_current_cluster")  # written by `ray start --head`
PATIENCE = 5.0  # seconds to connect, and as many to be greeted
ELSEWHERE = "or unset RAY_ADDRESS to start a local Ray"


def cluster_address() -> str | None:
    """Finds HOST:PORT of the cluster at RAY_ADDRESS or of a head on this host, or None.

    Raises:
        BadInput: It is no such address, or no Ray answers there.
    """
    given = os.environ.get("RAY_ADDRESS", "")
    if given == "local" or not (given or HEAD_ON_THIS_HOST.exists()):
        return None
    if given not in ("", "auto"):
        _check(
            given, f"the Ray cluster at RAY_ADDRESS={given}", f"start it, correct it, {ELSEWHERE}"
        )
        return given
    if not HEAD_ON_THIS_HOST.exists():
        raise BadInput(
            "RAY_ADDRESS=auto, but no head runs on this host: "
            f"start one with ray start --head, {ELSEWHERE}"
        )
    found = HEAD_ON_THIS_HOST.read_text().strip()
    _check(
        found,
        f"the Ray head that {HEAD_ON_THIS_HOST} names, {found},",
        "start it again, or remove that file (ray stop does) to start a local Ray",
    )
    return found


def _check(place: str, who: str, remedy: str) -> None:
    """Connects and waits for the greeting that every server of Ray sends at once (HTTP/2)."""
    host, colon, port = place.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        raise BadInput(
            f"{who} is not HOST:PORT (Ray Client's ray:// is not supported): run the command on "
            f"the cluster with ray exec, {ELSEWHERE}"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as link:
            link.settimeout(PATIENCE)
            greeting = link.recv(4)
    except (OSError, OverflowError) as error:
        raise BadInput(f"{who} does not answer ({error}): {remedy}") from error
    if greeting[3:] != b"\x04":  # the type of a SETTINGS frame
        raise BadInput(f"{who} is something else than Ray: {remedy}")
