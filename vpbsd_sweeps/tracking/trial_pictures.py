"""Pictures of a trial in MLflow: titled by arm, fold and seed, and two trials comparable.

The stage that draws them knows neither, since trials share stages; so titles are added here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.image import imread

from vpbsd.evaluation.pictures import save_png, titled
from vpbsd_sweeps.tracking.tracker import Tracker

COMPARED = "overlay"
"""The kind that MLflow's chart of images shows side by side for several runs, volume by volume."""
STRIP = "strip_"
"""What reports put together for several arms, and title themselves."""
IMAGES = "images"
"""Folder of a run where MLflow keeps such images."""


def log_trial_pictures(
    tracker: Tracker, run_id: str, files: Mapping[str, bytes], title: str, when: float
) -> None:
    """Sends a result's pictures as artifacts ``pictures/...``, overlays as images too.

    Args:
        tracker: The experiment.
        run_id: Of the trial.
        files: Of the result; pictures are ``KIND_NUMBER_VOLUME.png``.
        title: Of the trial; written above each picture.
        when: When they were drawn, in seconds since 1970.
    """
    there = {_key_of(path) for path in tracker.list_files(run_id, IMAGES)}
    with TemporaryDirectory(prefix="vpbsd-") as room:
        for name in sorted(name for name in files if name.endswith(".png")):
            picture = (255 * imread(BytesIO(files[name]))[..., :3]).round().astype("uint8")
            if not name.startswith(STRIP):
                picture = titled(picture, title)
            save_png(Path(room, name), picture)
            key = _image_key(name.removesuffix(".png"))
            if key is not None and key not in there:
                at = int(1000 * when)
                tracker.client.log_image(run_id, picture, key=key, step=0, timestamp=at)
        tracker.log_folder(run_id, Path(room), "pictures")


def _image_key(stem: str) -> str | None:
    """Returns the name that pictures of one volume share in all trials; None where none is shown.

    >>> _image_key("overlay_0_mouse 1"), _image_key("projection_0_mouse 1")
    ('overlay/mouse 1', None)
    """
    found = re.fullmatch(rf"({COMPARED}\w*?)_\d+_(.+)", stem)
    return None if found is None else re.sub(r"[^\w\-. /]", "_", f"{found[1]}/{found[2]}")


def _key_of(path: str) -> str:
    """Returns the key of an image that MLflow has.

    >>> _key_of("images/overlay~mouse 1+step+0+timestamp+1795866399620+30aeba44.png")
    'overlay/mouse 1'
    """
    key = re.split(r"[+%]step[+%]", Path(path).name)[0]
    return key.replace("~", "/").replace("#", "/")  # the latter by older versions of MLflow
