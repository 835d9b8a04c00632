"""Does the project work from its wheel alone, installed in a fresh environment outside the checkout?

The environment has its own site-packages and its own ``autointerp`` command. The dependencies of the running
interpreter are put behind them by a .pth line, which reads no further .pth file: an editable install of the checkout
stays out of reach, so whatever is found of ours comes from the wheel.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel


def _run(*command: str | Path, cwd: Path) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "COV"))}
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env=clean, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, repository) -> Path:
    if importlib.util.find_spec("build") is None or importlib.util.find_spec("hatchling") is None:
        pytest.fail("building the wheel needs the extra 'dev': pip install -e '.[dev]'")
    out = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, repository, cwd=out)
    (built,) = out.glob("autointerp_bio-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel) -> Path:
    """The bin folder of a fresh environment that holds the wheel; beside it lies an empty folder ``elsewhere``."""
    top = tmp_path_factory.mktemp("installed")
    (top / "elsewhere").mkdir()
    environment = top / "environment"
    _run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=top)
    python = environment / "bin" / "python"
    own = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=top).strip())
    theirs = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (own / "dependencies.pth").write_text("\n".join(theirs) + "\n")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", wheel]
    _run(sys.executable, "-m", "pip", "--python", python, *install, cwd=top)
    return environment / "bin"


def _python(installed: Path, code: str) -> str:
    return _run(installed / "python", "-c", code, cwd=installed.parents[1] / "elsewhere")


def test_the_wheel_holds_the_packages_and_the_prompts_and_nothing_else(wheel, repository):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        meta = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        assert "\nName: autointerp-bio\n" in archive.read(meta).decode()
    expected = set()
    for folder, place in (("autointerp", "autointerp"), ("sae", "sae"), ("prompts", "autointerp/_prompts")):
        for path in (repository / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
                expected.add(f"{place}/{path.relative_to(repository / folder).as_posix()}")
    assert held == expected
    assert "autointerp/py.typed" in held


def test_our_packages_come_from_the_wheel(installed, repository):
    code = "import autointerp, importlib.util as u; print(autointerp.__file__, u.find_spec('sae').origin, sep='\\n')"
    for origin in _python(installed, code).splitlines():
        assert Path(origin).is_relative_to(installed.parent), origin
    assert _python(installed, "import importlib.util as u; print(u.find_spec('eval'))").strip() == "None"
    assert str(repository) not in _python(installed, "import sys; print(sys.path)").replace(sys.prefix, "")


def test_the_wheel_renders_the_same_prompts(installed):
    from autointerp import templates

    code = (
        "from autointerp import templates\n"
        "assert '_prompts' in str(templates.prompts_root())\n"
        "for name in templates.names(): print(name, templates.prompt_hash(name))\n"
        "print(templates.environment().from_string('{{ x|fenced }}').render(x='<'))"
    )
    here = [f"{name} {templates.prompt_hash(name)}" for name in templates.names()]
    assert _python(installed, code).splitlines() == [*here, "<data>", "&lt;", "</data>"]


def test_every_module_of_the_wheel_can_be_imported(installed):
    code = (
        "import importlib, pkgutil, autointerp, sae\n"
        "for package in (autointerp, sae):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
    )
    _python(installed, code)


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["run", "--help"]], ids=" ".join)
def test_the_command_of_the_wheel_answers(installed, arguments):
    said = _run(installed / "autointerp", *arguments, cwd=installed.parents[1] / "elsewhere")
    assert "Usage" in said
