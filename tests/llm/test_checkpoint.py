"""Is a local model named by what it is, and is everything that is no safe, whole checkpoint refused in one line?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from autointerp.errors import UserError
from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.local import LocalModel
from autointerp.llm.loop import run_async
from autointerp.llm.route import route

pytest.importorskip("transformers")


def test_the_key_follows_the_files_and_not_the_path(taught_folder, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(taught_folder, moved)
    (moved / "README.md").write_text("not read")

    def key(where):
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            return LLM(f"hf:{where}", ledger).request("hi").key

    assert key(taught_folder) == key(moved) == key(f"{moved}/")
    assert route(f"hf:{moved}").endpoint.startswith("hf:") and len(route(f"hf:{moved}").endpoint) == 15
    assert route(f"hf:{moved}", "http://localhost:1/v1", "mine") == route(f"hf:{moved}")
    config = json.loads((moved / "tokenizer_config.json").read_text())
    (moved / "tokenizer_config.json").write_text(json.dumps({**config, "more": 1}))
    assert key(taught_folder) != key(moved)


def break_config(folder, **fields):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))


def only_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def half_the_weights(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file({name: w for name, w in weights.items() if "layers.1" not in name}, folder / "model.safetensors",
              {"format": "pt"})  # fmt: skip


BROKEN = {
    "pickle": (only_pickle, r"pickle \(pytorch_model.bin\).*save_pretrained"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "neither model.safetensors"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "."),
    "cut off": (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 99), "does not load"),
    "half": (half_the_weights, r"lacks the weights model.layers.1"),
    "foreign code": (lambda f: break_config(f, model_type="x", auto_map={"AutoConfig": "x.X"}), "does not load"),
    "an image model": (lambda f: break_config(f, model_type="vit"), "does not load"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_checkpoint_is_one_line(how, taught_folder, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(taught_folder, broken)
    damage, said = BROKEN[how]
    damage(broken)
    with pytest.raises(UserError, match=said) as raised:
        LocalModel.open(str(broken))
    assert "\n" not in str(raised.value)


def test_a_missing_shard_is_named(taught_folder, tmp_path):
    shutil.copytree(taught_folder, tmp_path / "sharded")
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (tmp_path / "sharded" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"lacks model-00002\.safetensors, 1 of its 2"):
        route(f"hf:{tmp_path / 'sharded'}")


@pytest.mark.parametrize("path", ["", "nowhere", "/nowhere/at/all", "./no/where"])
def test_a_missing_folder_is_one_line(path):
    with pytest.raises(UserError, match="no such folder"):
        route(f"hf:{path}")


def test_a_hub_name_that_is_not_on_this_disk_is_not_fetched():
    with pytest.raises(UserError, match="hf download nobody/nothing"):
        route("hf:nobody/nothing")


def test_without_transformers_the_extra_is_named(taught_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        llm = LLM(f"hf:{taught_folder}", ledger)
        with pytest.raises(UserError, match=r"autointerp-bio\[local\]"):
            llm.check()
        with pytest.raises(UserError, match=r"autointerp-bio\[local\]"):
            run_async(llm.ask(llm.request("hi")))


def test_naming_a_local_model_loads_no_library(taught_folder):
    code = "import sys; from autointerp.llm.route import route; route(sys.argv[1]); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, f"hf:{taught_folder}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
