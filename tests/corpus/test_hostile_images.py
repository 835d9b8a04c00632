"""What does an image that cannot be trusted do? It is refused by row and file, or left out and counted."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from autointerp.corpus import image_files
from autointerp.corpus.image_sources import open_images
from autointerp.corpus.image_table import checked
from autointerp.errors import UserError
from tests.corpus.hostile_images import HOSTILE, good, pixels


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "plate"
    root.mkdir()
    for i in range(3):
        good(root / f"good{i}.png", i)
    return root


def manifest(root, paths, **columns):
    table = root / "crops.csv"
    pd.DataFrame({"path": paths, **columns}).to_csv(table, index=False)
    return table


def refusal(path, **options) -> str:
    with pytest.raises(UserError) as caught:
        checked(open_images(path, **options), None, False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_by_row_and_file(folder, kind):
    suffix, write, why = HOSTILE[kind]
    write(folder / f"bad{suffix}")
    table = manifest(folder, ["good0.png", f"bad{suffix}", "good1.png", "good2.png"])
    said = refusal(table)
    assert f"row 2 (bad{suffix})" in said
    assert why in said
    assert "--skip-bad" in said


@pytest.mark.parametrize("kind", HOSTILE)
def test_skip_bad_leaves_it_out_and_says_so(folder, kind):
    suffix, write, why = HOSTILE[kind]
    write(folder / f"bad{suffix}")
    table, bad = checked(
        open_images(manifest(folder, ["good0.png", f"bad{suffix}", "good1.png", "good2.png"])), None, True
    )
    assert table.obs.index.tolist() == ["good0.png", "good1.png", "good2.png"]
    assert table.rows.tolist() == [1, 3, 4]
    assert [b.row for b in bad] == [2]
    assert "1 of 4 images cannot be used and are left out (skipped.csv): row 2" in table.warnings[0]
    assert why in table.warnings[0]
    np.testing.assert_array_equal(table.read(1), pixels(1))  # the second of those that are left


def test_a_row_without_a_file(folder):
    assert "row 2 (missing.png): does not exist" in refusal(manifest(folder, ["good0.png", "missing.png"]))
    assert "row 1 (nan): names no file" in refusal(manifest(folder, [None, "good0.png"]))


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname", "sub/../../secret.png"])
def test_nothing_outside_the_tables_folder_is_read(folder, path):
    good(folder.parent / "secret.png")
    assert f"row 1 ({path}): lies outside" in refusal(manifest(folder, [path, "good0.png"]))


def test_a_link_out_of_the_folder_is_not_followed(folder):
    good(folder.parent / "secret.png")
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    table = manifest(folder, ["link.png", "good0.png"])
    assert "row 1 (link.png): lies outside" in refusal(table)
    assert "link.png" in refusal(folder)
    read, bad = checked(open_images(table, allow_outside=True), None, False)
    assert len(read) == 2 and not bad


def test_all_bad_rows_are_counted(folder):
    table = manifest(folder, ["a.png", "good0.png", "b.png"])
    assert "1 more rows cannot be used" in refusal(table)
    _, bad = checked(open_images(table), None, True)
    assert [b.row for b in bad] == [1, 3]
    with pytest.raises(UserError, match="no image that can be used"):
        checked(open_images(manifest(folder, ["a.png"])), None, True)


def test_an_npz_is_never_unpickled(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, images=np.zeros((2, 4, 4, 1), np.uint8), labels=np.array([{}, []], dtype=object))
    assert open_images(path).obs.columns.tolist() == []
    np.savez(path, images=np.array([{}, []], dtype=object))
    assert "has no array 'images'" in refusal(path)


@pytest.mark.parametrize("cut", [0, 30, 200, -30])
def test_a_truncated_npz(tmp_path, cut):
    path = tmp_path / "x.npz"
    np.savez(path, images=np.zeros((2, 4, 4, 1), np.uint8))
    path.write_bytes(path.read_bytes()[:cut])
    assert "is truncated or no .npz" in refusal(path)


def test_an_npz_that_unpacks_to_terabytes(tmp_path):
    path = tmp_path / "x.npz"
    head = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**3, 10**3, 3)}
    said = repr(head).encode().ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + len(said).to_bytes(2, "little") + said)
    assert "would take" in refusal(path)


def test_an_ome_zarr_cannot_run_code_or_leave_itself(tmp_path):
    zarr = pytest.importorskip("zarr")
    store = tmp_path / "x.zarr"
    group = zarr.open_group(str(store), mode="w", zarr_format=2)
    array = group.create_array("0", shape=(2, 8, 8), chunks=(1, 8, 8), dtype="uint8")
    array[:] = 3
    axes = [{"name": a} for a in "cyx"]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    table = manifest(tmp_path, ["x.zarr"])
    read, _ = checked(open_images(table), ("DNA", "ER"), False)
    assert read.read(0).shape == (8, 8, 2)
    meta = store / "0" / ".zarray"
    said = json.loads(meta.read_text())
    meta.write_text(json.dumps(said | {"filters": [{"id": "pickle", "protocol": 5}]}))
    image_files._opened.cache_clear()
    assert "row 1 (x.zarr)" in refusal(table)
    meta.write_text(json.dumps(said))
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "../y.zarr/0"}]}]
    image_files._opened.cache_clear()
    assert "outside itself" in refusal(table)


def test_an_ome_zarr_with_a_link_out_of_it(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    store = tmp_path / "plate" / "x.zarr"
    store.mkdir(parents=True)
    (store / "c").symlink_to(tmp_path / "secret")
    assert "row 1 (x.zarr): holds a link out of itself" in refusal(manifest(store.parent, ["x.zarr"]))


def test_a_number_is_no_path(tmp_path):
    pd.DataFrame({"path_length": [1.5, 2.5], "Metadata_Well": ["a", "b"]}).to_csv(
        tmp_path / "x.tsv", sep="\t", index=False
    )
    assert open_images(tmp_path / "x.tsv").measured[0].tolist() == ["path_length"]
