"""What may every test rely on? No network beyond this machine, no API key, one thread a worker, and these fixtures."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy is imported; workers share the machine
for _name in [n for n in os.environ if n.endswith("_API_KEY")]:
    del os.environ[_name]  # no test may spend money
os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg"}


def _is_here(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """A test that reaches for another machine fails at once and says which."""
    connect, connect_ex, lookup = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def refuse(host: object) -> None:
        raise ConnectionRefusedError(f"tests are offline, and this one asked for {host!r}")

    def guarded(real):
        def call(self, address):
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
                refuse(address[0])
            return real(self, address)

        return call

    def guarded_lookup(host, *args, **kwargs):
        if not _is_here(host):
            refuse(host)
        return lookup(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(connect))
        patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
        patch.setattr(socket, "getaddrinfo", guarded_lookup)
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets that AUTOINTERP_DATA names; tests that need it are skipped without it."""
    folder = os.environ.get("AUTOINTERP_DATA")
    if not folder:
        pytest.skip("AUTOINTERP_DATA names no folder of real data")
    if not Path(folder).is_dir():
        pytest.fail(f"AUTOINTERP_DATA names {folder}, which is no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium for playwright's ``launch(executable_path=…)``."""
    found = os.environ.get("AUTOINTERP_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        missing = pytest.fail if os.environ.get("AUTOINTERP_REQUIRE_BROWSER") == "1" else pytest.skip
        missing(f"no Chromium: none of {', '.join(BROWSERS)} on PATH, and AUTOINTERP_CHROMIUM is not set")
    return found
