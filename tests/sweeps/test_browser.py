"""What a user sees in a real browser: MLflow's runs, curves and overlays; a study's report."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.sweeps.small_study import small_study
from vpbsd_sweeps.commands.report import write
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.tracking.tracker import Tracker

pytestmark = pytest.mark.slow

SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SWITCHES += ["--disable-component-update", "--disable-sync", "--no-first-run"]


@pytest.fixture
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=SWITCHES)
        yield opened
        opened.close()


@pytest.fixture
def server(tmp_path):
    """An MLflow server over a database with one finished trial; yields (url, experiment id)."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = Tracker(uri, "study", (tmp_path / "artifacts").as_uri())
    run = tracker.get_or_create_run("trial:a", "vpbsd-fold0-seed0", None, {"arm": "vpbsd"}, {})
    rows = [{"epoch": e, "loss/sup": 1.0 / e, "time": 1e9 + e} for e in range(1, 6)]
    tracker.log_rows("trial:a", rows)
    picture = tmp_path / "overlay.png"
    from vpbsd.evaluation.overlays import Scene, overlay
    from vpbsd.evaluation.pictures import save_png

    mask = np.zeros((8, 16, 16), bool)
    mask[:, 4:9, 4:9] = True
    save_png(picture, overlay(Scene(mask.astype(np.float32), mask, np.roll(mask, 2, 2)), "v"))
    tracker.log_file(run, picture, "pictures")
    tracker.end("trial:a", "FINISHED")
    with serving(uri) as url:
        yield url, tracker.experiment_id, run


@contextmanager
def serving(uri):
    """The address of an MLflow server over a database."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["server", "--backend-store-uri", uri, "--port", str(port), "--workers", "1"]
    quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words],
        env=quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url + "/health")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _wait(url):
    for _ in range(120):
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"{url} does not answer")


def test_runs_curves_and_overlay_are_there(browser, server, tmp_path):
    url, experiment, run = server
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    shots = Path(os.environ.get("VPBSD_SHOTS", tmp_path))
    page.goto(f"{url}/#/experiments/{experiment}/runs")
    page.get_by_text("vpbsd-fold0-seed0").first.wait_for(timeout=60_000)
    page.screenshot(path=shots / "runs.png")
    page.goto(f"{url}/#/experiments/{experiment}/runs/{run}/model-metrics")
    page.get_by_text("sup").first.wait_for(timeout=60_000)
    page.screenshot(path=shots / "curves.png")
    page.goto(f"{url}/#/experiments/{experiment}/runs/{run}/artifacts/pictures/overlay.png")
    page.locator("img[alt], canvas, img").first.wait_for(timeout=60_000)
    page.screenshot(path=shots / "overlay.png")
    assert (shots / "overlay.png").stat().st_size > 10_000


def test_a_number_of_the_report_leads_to_its_run(browser, tmp_path):
    """And the two trials compared in MLflow's own page."""
    shots = Path(os.environ.get("VPBSD_SHOTS", tmp_path))
    tracker = small_study(tmp_path)
    records = load_records(tracker, "small")
    first, second = records.of_arm("vpbsd")[0], records.of_arm("light_unet")[0]
    with serving(tracker.uri) as url:
        write(analyse(records, "light_unet"), tmp_path / "report", url)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto((tmp_path / "report" / "report.html").as_uri())
        page.locator("td", has_text="0.675").first.locator("summary").click()
        link = page.get_by_role("link", name="fold 0, seed 0: 0.635").locator("visible=true")
        with page.context.expect_page() as opened:
            link.first.click()
        run = opened.value
        assert run.url == f"{url}/#/experiments/{records.experiment}/runs/{first.run_id}"
        run.get_by_text(first.name).first.wait_for(timeout=60_000)
        run.screenshot(path=shots / "run.png")
        ids = f'["{first.run_id}","{second.run_id}"]'
        both = f'runs={ids}&experiments=["{records.experiment}"]'
        run.goto(f"{url}/#/compare-runs?{both}")
        for trial in (first, second):
            run.get_by_text(trial.name).first.wait_for(timeout=60_000)
        run.screenshot(path=shots / "compared.png")


def test_the_report_opens_without_a_network(browser, tmp_path):
    shots = Path(os.environ.get("VPBSD_SHOTS", tmp_path))
    write(analyse(load_records(small_study(tmp_path), "small"), "light_unet"), tmp_path / "report")
    page = browser.new_context(offline=True, viewport={"width": 1250, "height": 900}).new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "report" / "report.html").as_uri())
    number = page.locator("td details").first
    number.locator("summary").click()
    assert number.get_by_text("fold 0, seed 0").is_visible()
    pictures = page.locator("figure img")
    assert pictures.count() >= 8
    assert all(pictures.evaluate_all("all => all.map(i => i.complete && i.naturalWidth > 0)"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=shots / "report.png", full_page=True)
    assert [url for url in asked if not url.startswith("data:")] == asked[:1]
