"""Does the package offer the names that it says, and only when they are asked for?"""

from __future__ import annotations

import re
import socket
import subprocess
import sys

import pytest

import autointerp


def test_every_public_name_resolves_in_a_fresh_interpreter(repository):
    code = (
        "import autointerp\nfor name in autointerp._HOMES: getattr(autointerp, name)\nprint(dir(autointerp))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert all(repr(name) in done.stdout for name in (*autointerp._HOMES, "__version__"))


def test_a_misspelt_name_is_an_attribute_error_that_lists_what_there_is():
    with pytest.raises(AttributeError, match=r"no attribute 'Usererror'; it offers .*UserError"):
        autointerp.Usererror  # noqa: B018
    with pytest.raises(ImportError):
        exec("from autointerp import Usererror")
    assert getattr(autointerp, "nothing", None) is None


def test_submodules_can_be_imported_from_the_package():
    from autointerp import schema

    assert schema.__name__ == "autointerp.schema"


def test_the_version_is_the_same_everywhere(repository):
    citation = (repository / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == autointerp.__version__


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("nowhere.invalid", 80)])
def test_tests_cannot_leave_this_machine(address):
    with pytest.raises(ConnectionRefusedError, match="tests are offline"):
        socket.create_connection(address, timeout=1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()
