import json

import pytest

from training.learned_weights import read_learned_weights

RESULT = {
    "run_id": "proxy",
    "method": "doremi",
    "config_digest": "d" * 16,
    "tokenizer_digest": "t",
    "shard_digests": {},
    "heldout_digests": {},
    "num_parameters": 1,
    "seed": 0,
    "steps": 1,
    "tokens": 1,
    "requested_weights": {},
    "realised_shares": {},
    "epochs": {},
    "heldout": {},
    "finished": True,
    "learned_weights": {"code": 0.25, "web": 0.75},
}


@pytest.fixture
def write(tmp_path):
    def write(name="proxy", **changes):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(RESULT | changes))
        return tmp_path / name

    return write


def test_weights_and_the_run_they_come_from(write):
    found = read_learned_weights(write())
    assert found.weights == {"code": 0.25, "web": 0.75}
    assert found.source() == {"run_id": "proxy", "method": "doremi", "config_digest": "d" * 16}


def test_digest_is_of_the_weights_alone(write):
    digest = read_learned_weights(write()).digest()
    assert len(digest) == 16
    assert read_learned_weights(write("other", run_id="b", steps=2)).digest() == digest
    changed = write("changed", learned_weights={"code": 0.75, "web": 0.25})
    assert read_learned_weights(changed).digest() != digest


def test_refuses_what_learnt_nothing(write, tmp_path):
    with pytest.raises(ValueError, match=r"weights_from: .*absent holds no result.json; name the"):
        read_learned_weights(tmp_path / "absent")
    with pytest.raises(ValueError, match="has the mixer 'odm', which learns no weights for"):
        read_learned_weights(write(method="odm", learned_weights=None))
