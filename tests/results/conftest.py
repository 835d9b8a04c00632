"""Which browser opens the pages under test? Chromium, if there is one; a run may demand it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")  # while it lives, no other test of its process can run an event loop
def browser() -> Iterator[Any]:
    """One headless Chromium for the session; AUTOINTERP_REQUIRE_BROWSER=1 makes its absence a failure."""
    required = os.environ.get("AUTOINTERP_REQUIRE_BROWSER") == "1"
    missing = pytest.fail if required else pytest.skip
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("the playwright package is not installed")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        missing("no Chromium on this machine (apt-get install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()
