"""The page as a visitor has it: a real process, a real browser."""

import fnmatch
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from series_files import upright, write_series

from stroke_tf.command import parse
from stroke_tf.deploy.serve import ServeConfig

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
START_S, ANSWER_MS = 120, 60_000
CHANGED = "before => document.querySelector('#slice img').src != before"
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: install it to try the page in a browser")
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Server:
    """`stroke-tf serve` in a process of its own, its temporary files in a folder of its own."""

    def __init__(self, folder, model):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address, self.folder = f"http://127.0.0.1:{port}", folder
        command = [sys.executable, "-m", "stroke_tf", "serve", "--model", str(model)]
        command += ["--port", str(port), "--max-megabytes", "3"]
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            command,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(folder), "NO_PROXY": "*"},
        )

    def wait(self):
        end = time.monotonic() + START_S
        while self.get("/") != 200:
            assert self.process.poll() is None and time.monotonic() < end, self.told()
            time.sleep(0.3)

    def get(self, path):
        try:
            return direct.open(self.address + path, timeout=10).status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def told(self):
        return (self.folder / "log").read_text()

    def files(self, pattern):
        # os.walk passes over folders that go meanwhile
        return [
            Path(folder, name)
            for folder, _, names in os.walk(self.folder)
            for name in fnmatch.filter(names, pattern)
        ]


@pytest.fixture(scope="module")
def server(runs, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("served"), runs.joint)
    server.wait()
    yield server
    for _ in range(2):  # as a shell and a supervisor may both send one
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    server.process.wait(20)
    assert not list(server.folder.glob("stroke-tf-*")), "uploads and results must be gone"


@pytest.fixture
def page(server, browser):
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    foreign = []
    page.on(
        "request",
        lambda request: foreign.append(request.url) if not _is_own(request.url, server) else None,
    )
    page.goto(server.address)
    page.wait_for_selector("#start")
    yield page
    page.close()
    assert not foreign, "a page of patients' pictures must ask nobody else for anything"


def _is_own(url, server):
    return url.startswith((server.address, "data:", "blob:"))


def hand_in(page, *paths):
    page.set_input_files("input[type=file]", [str(path) for path in paths])
    for path in paths[:1]:
        page.wait_for_selector(f"text={path.stem}", timeout=ANSWER_MS)
    page.click("#start")


def zipped(archive, paths):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in paths:
            file.write(path, path.name)
    return archive


def move_to(page, number):
    slider = page.locator("#place input[type=number]")
    slider.fill(number)
    slider.press("Enter")
    page.wait_for_selector(f"#slice img[alt^='slice {number} of']", timeout=ANSWER_MS)


def shown(page):
    page.wait_for_selector("#slice img", timeout=ANSWER_MS)
    return page.get_attribute("#slice img", "alt"), page.get_attribute("#slice img", "src")


def test_a_series_is_answered_looked_through_and_downloaded(server, page, tmp_path):
    paths = write_series(tmp_path / "in", upright([0, 5, 10, 15]))
    hand_in(page, zipped(tmp_path / "scan.zip", paths))
    first = shown(page)[0]
    assert first.endswith("of 4") and "Research software" in page.inner_text("#warning")
    assert "pixels" in page.inner_text("#scores") and "ml" in page.inner_text("#summary")
    assert not server.files("*.dcm") and not server.files("scan.zip")

    move_to(page, "3" if not first.startswith("slice 3") else "2")
    for change in (
        lambda: page.get_by_label("bone 600 / 2800").click(),
        lambda: page.get_by_label("Show what the answer rests on").check(),
    ):
        before = shown(page)[1]
        change()
        page.wait_for_function(CHANGED, arg=before, timeout=ANSWER_MS)

    with page.expect_download(timeout=ANSWER_MS) as download:
        page.click("#download")
    download.value.save_as(tmp_path / "results.zip")
    names = zipfile.ZipFile(tmp_path / "results.zip").namelist()
    assert {"predictions.csv", "studies.json", "report.html"} <= set(names)
    assert sum("/masks/" in name and name.endswith(".png") for name in names) == 4


def test_a_slow_request_does_not_block_the_page(server, browser, page, tmp_path):
    small, many = (
        zipped(tmp_path / f"{name}.zip", write_series(tmp_path / name, upright(range(count))))
        for name, count in (("small", 3), ("many", 150))
    )
    hand_in(page, small)
    before = shown(page)[0]
    busy = browser.new_page()
    busy.goto(server.address)
    hand_in(busy, many)
    move_to(page, "3" if not before.startswith("slice 3") else "2")
    assert not busy.query_selector("#slice img"), "the slow request was not slow"
    busy.wait_for_selector("#slice img", timeout=ANSWER_MS)
    busy.close()


def test_a_visit_ends_with_the_next_one_and_when_its_visitor_leaves(server, page, tmp_path):
    for count in (1, 2):
        paths = write_series(tmp_path / str(count), upright(range(count)))
        hand_in(page, zipped(tmp_path / f"scan{count}.zip", paths))
        page.wait_for_selector(f"#slice img[alt$='of {count}']", timeout=ANSWER_MS)
        left_alone(server, ("predictions.csv",), count=1)  # the visit before goes meanwhile
    page.goto("about:blank")
    left_alone(server, ("*.csv", "*.npy", "*.zip"), count=0)


def left_alone(server, patterns, *, count):
    """Waits until the server keeps so many files, no more and no fewer."""
    end = time.monotonic() + START_S
    while len(left := [path for pattern in patterns for path in server.files(pattern)]) != count:
        assert time.monotonic() < end, left
        time.sleep(0.2)


def bomb(path):
    """A PNG that says it is 30,000 x 30,000, in a few hundred kilobytes."""
    side = 30_000

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    rows = zlib.compressobj()
    pixels = b"".join(rows.compress(bytes(side + 1)) for _ in range(side)) + rows.flush()
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    return path


def truncated(path):
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8))
    path.write_bytes(path.read_bytes()[:900])
    return path


@pytest.mark.parametrize(
    ("make", "told"), [(truncated, "truncated.png"), (bomb, "bomb.png")], ids=["truncated", "bomb"]
)
def test_what_cannot_be_read_is_an_error_and_the_page_lives_on(server, page, tmp_path, make, told):
    hand_in(page, make(tmp_path / told))
    page.wait_for_selector(f".toast-body:has-text('{told}')", timeout=ANSWER_MS)
    assert server.get("/") == 200 and not server.files(told)
    good = tmp_path / "good.png"
    cv2.imwrite(str(good), np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8))
    page.reload()
    hand_in(page, good)
    assert shown(page)[0] == "slice 1 of 1"


def test_an_upload_that_is_too_large_is_an_error_and_stored_nowhere(server, page, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(os.urandom(4_000_000))
    page.set_input_files("input[type=file]", str(large))
    page.wait_for_selector(".toast-body", timeout=ANSWER_MS)
    assert server.get("/") == 200 and not server.files("large.png")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "setup.cfg", "stroke_tf/cli.py", "../log", "uploads/../../log"]
)
def test_no_file_outside_the_uploads_can_be_read(server, path):
    assert server.get(f"/gradio_api/file={path}") in (403, 404)


def test_the_page_answers_on_this_machine_alone(server):
    port = int(server.address.rpartition(":")[2])
    (address,) = {
        line.split()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if int(line.split()[1].split(":")[1], 16) == port and line.split()[3] == "0A"
    }
    assert address.startswith("0100007F")


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`max_files` must be >= 1"):
        ServeConfig(model=(), max_files=0)


def test_the_default_is_this_machine():
    assert parse(ServeConfig, args=["--model", "run"]).host == "127.0.0.1"
