import numba

from quality import kernel_cache
from quality.kernel_cache import compiled


def double(number):
    return 2 * number


def test_compiled_code_is_kept_under_the_digest_of_all_kernels(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_cache, "__file__", str(tmp_path / "kernel_cache.py"))
    folders = []
    for content in ("a = 1", "a = 2", "a = 1"):
        (tmp_path / "kernel_other.py").write_text(content)
        kernel_cache._folder.cache_clear()
        folders.append(kernel_cache._folder())
    kernel_cache._folder.cache_clear()
    assert folders[0] == folders[2] != folders[1]
    assert folders[0].parent == tmp_path / "__pycache__"


def test_compiling_leaves_the_setting_of_numba_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_cache, "_folder", lambda: tmp_path)
    before = numba.config.CACHE_DIR
    function = compiled(double)
    assert function(21) == 42
    assert before == numba.config.CACHE_DIR
    assert any(tmp_path.rglob("*.nbi"))
