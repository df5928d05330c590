"""Many results looked up at once on S3: the same answers, for a fraction of the requests."""

import json

import pytest

from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.store.survey import MANY, Glance, glance, inspect_all

KEYS = [f"{n:064x}" for n in range(MANY + 20)]


def test_a_listing_says_what_each_look_says(s3, tmp_path):
    """One whole, one with a file of another size, one of another key, one torn, one cut short."""
    store = Store("s3://results/store")
    (tmp_path / "deep").mkdir()
    (tmp_path / "rows.json").write_text("[1, 2]")
    (tmp_path / "deep" / "weights").write_text("1")
    whole, resized, foreign, torn, lost = KEYS[:5]
    for key in (whole, resized, lost):
        manifest = store.commit(key, tmp_path, {"seconds": 1.0})
    home = f"results/{lost}/{manifest.attempt}"
    store.files.remove(f"{home}/deep/weights")
    attempt = json.loads(store.files.read(f"results/{resized}/manifest.json"))["attempt"]
    store.files.write(f"results/{resized}/{attempt}/rows.json", b"[]")
    text = store.files.read(f"results/{whole}/manifest.json")
    store.files.write(f"results/{foreign}/manifest.json", text)
    store.files.write(f"results/{torn}/manifest.json", text[:20])
    before = s3.answered
    found = inspect_all(store, KEYS)
    assert s3.answered - before == 1 + 5, "a listing, and five manifests"
    assert found == {key: store.inspect(key) for key in KEYS}
    assert [found[key][0] for key in KEYS[:6]] == ["stored", *["damaged"] * 4, "absent"]
    assert found[whole][1].metadata["seconds"] == 1.0


def test_a_glance_is_two_listings_whatever_there_is(s3, tmp_path):
    store = Store("s3://results/store")
    (tmp_path / "rows.json").write_text("[]")
    first, second = KEYS[:2]
    store.commit(first, tmp_path, {})
    store.set_aside(first)
    store.checkpoints.append_rows(second, 3, [{"loss": 1.0}])
    before = s3.answered
    seen = glance(store)
    assert s3.answered - before == 2
    assert (seen.results, set(seen.running)) == ({first}, {second})
    assert set(seen.running[second]) == {"rows-3.json"}
    assert glance(Store(str(tmp_path / "nothing"))) == Glance(frozenset(), {})


def test_an_outage_while_many_are_looked_up_makes_none_absent(s3, tmp_path, monkeypatch):
    store = Store("s3://results/store")
    (tmp_path / "rows.json").write_text("[]")
    for key in KEYS[:3]:
        store.commit(key, tmp_path, {})

    async def away(*_, **__):
        raise OSError("503 Service Unavailable")

    monkeypatch.setattr(store.files.fs, "_cat_file", away)
    with pytest.raises(OSError, match="503"):
        inspect_all(store, KEYS)
