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

from vpbsd.data.volume_keys import volume_key
from vpbsd.evaluation.picture_names import is_of, kind_and_volume
from vpbsd.evaluation.pictures import save_png, titled
from vpbsd_sweeps.tracking.tracker import Tracker

COMPARED = "overlay"
"""The kind that MLflow's chart of images shows side by side for several runs, volume by volume."""
STRIP = "strip"
"""What reports put together for several arms, and title themselves."""
UNLIKED = re.compile(r"[^A-Za-z0-9_\-. ]")
"""What MLflow refuses in a key."""
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
            if not is_of(name, STRIP):
                picture = titled(picture, title)
            save_png(Path(room, name), picture)
            key = _image_key(name)
            if key is not None and key not in there:
                at = int(1000 * when)
                tracker.client.log_image(run_id, picture, key=key, step=0, timestamp=at)
        tracker.log_folder(run_id, Path(room), "pictures")


def _image_key(name: str) -> str | None:
    """Returns the name that pictures of one volume share in all trials; None where none is shown.

    A class of any name has a key of letters that MLflow takes.

    >>> _image_key("overlay_0_mouse 1.png"), _image_key("projection_0_mouse 1.png")
    ('overlay/mouse 1', None)
    >>> _image_key("overlay_left atrium_0_a.png"), _image_key("overlay_Gef\u00e4\u00df_0_a.png")
    ('overlay_left atrium/a', 'overlay_Gef-c8caf20590e6/a')
    """
    found = kind_and_volume(name)
    if found is None or not is_of(found[0], COMPARED):
        return None
    return f"{volume_key(found[0])}/{re.sub(UNLIKED, '_', found[1])}"


def _key_of(path: str) -> str:
    """Returns the key of an image that MLflow has.

    >>> _key_of("images/overlay~mouse 1+step+0+timestamp+1795866399620+30aeba44.png")
    'overlay/mouse 1'
    """
    key = re.split(r"[+%]step[+%]", Path(path).name)[0]
    return key.replace("~", "/").replace("#", "/")  # the latter by older versions of MLflow
