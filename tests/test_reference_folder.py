import shutil

import pytest

from training.reference_folder import reference_digest, reference_model_folder


@pytest.fixture
def model_folder(tmp_path):
    """A folder with the files of a model, not read by these functions."""
    folder = tmp_path / "run/final"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_folder_of_a_run_or_of_a_model(model_folder):
    assert reference_model_folder(model_folder) == model_folder
    assert reference_model_folder(model_folder.parent) == model_folder


def test_digest_follows_content_not_place(model_folder, tmp_path):
    digest = reference_digest(model_folder)
    assert len(digest) == 16
    shutil.copytree(model_folder, tmp_path / "elsewhere")
    assert reference_digest(tmp_path / "elsewhere") == digest
    assert reference_digest(model_folder.parent) == digest
    for name in ("config.json", "model.safetensors"):
        before = (model_folder / name).read_bytes()
        (model_folder / name).write_bytes(b"other")
        assert reference_digest(model_folder) != digest
        (model_folder / name).write_bytes(before)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_folder_without_a_model_is_refused(model_folder, missing):
    (model_folder / missing).unlink()
    with pytest.raises(ValueError, match=r"reference: no model in .*run or .*run/final"):
        reference_digest(model_folder.parent)
