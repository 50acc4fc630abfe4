import logging
from pathlib import Path

import pytest

from quality.documents import CorpusError
from quality.pip_configuration import (
    DEFAULT_INDEX,
    choose_sources,
    list_pip_settings,
    parse_pip_settings,
)


@pytest.fixture
def pip_file(monkeypatch, tmp_path):
    """A pip configuration that is the only one: no file and no variable of the machine counts."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))
    return file


def test_sections_and_environment_override_each_other_as_for_pip_download():
    listing = (
        ":env:.index-url='https://env/simple'\n"
        "download.timeout='7'\n"
        "global.index-url='https://global/simple'\n"
        "global.timeout='5'\n"
        "install.timeout='9'\n"
        "global.extra-index-url='\\nhttps://a/simple\\nhttps://b/simple'\n"
    )
    assert parse_pip_settings(listing) == {
        "index-url": "https://env/simple",
        "timeout": "7",
        "extra-index-url": "\nhttps://a/simple\nhttps://b/simple",
    }


def test_pip_itself_is_asked(pip_file, monkeypatch):
    pip_file.write_text("[global]\nindex-url = https://file/simple\ntimeout = 4\n")
    monkeypatch.setenv("PIP_TIMEOUT", "8")
    settings = list_pip_settings()
    assert settings["index-url"] == "https://file/simple"
    assert settings["timeout"] == "8"


def test_a_broken_configuration_of_pip_is_an_error(pip_file):
    pip_file.write_text("no section\n")
    with pytest.raises(CorpusError, match=r"(?s)pip config list failed: .*repair pip's"):
        list_pip_settings()


def test_without_settings_the_public_index_is_asked():
    sources = choose_sources({})
    assert sources.index_urls == (DEFAULT_INDEX,)
    assert (sources.find_links, sources.certificate, sources.proxy) == ((), None, None)
    assert sources.timeout_seconds == 15.0


def test_settings_become_sources(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        sources = choose_sources(
            {
                "index-url": "https://one/simple",
                "extra-index-url": "https://two/simple\nhttps://three/simple",
                "find-links": f"{tmp_path} {tmp_path / 'gone'} https://page/links",
                "trusted-host": "one two",
                "cert": "/etc/ca.pem",
                "proxy": "http://proxy:1",
                "default-timeout": "180",
            }
        )
    assert sources.index_urls == (
        "https://one/simple",
        "https://two/simple",
        "https://three/simple",
    )
    assert sources.find_links == (str(tmp_path), "https://page/links")
    assert sources.trusted_hosts == ("one", "two")
    assert sources.certificate == Path("/etc/ca.pem")
    assert (sources.proxy, sources.timeout_seconds) == ("http://proxy:1", 180.0)
    assert "gone, which does not exist" in caplog.text


def test_no_index_leaves_the_links_or_nothing(tmp_path):
    sources = choose_sources({"no-index": "true", "find-links": str(tmp_path)})
    assert (sources.index_urls, sources.find_links) == ((), (str(tmp_path),))
    with pytest.raises(CorpusError, match="no-index and no usable find-links"):
        choose_sources({"no-index": "1"})
