"""Presets: each mistake is told when the preset is loaded, with file, key and remedy."""

from pathlib import Path

import pytest
import yaml

from assets.presets import PRESETS, PresetError, config_digest, load_preset, training_domains
from quality.documents import CorpusError

SHIPPED = ["ci", "demo", "quality", "skills"]
DOGE = {"method": "doge", "settings": {"every_steps": 5}}
CI = yaml.safe_load((PRESETS / "ci.yaml").read_text())
LONGER = CI["proxy"] | {"schedule": CI["proxy"]["schedule"] | {"steps": 1000}}
RULES = {"tagger": "rules"}
CI["catalogue"] = str((PRESETS / CI["catalogue"]).resolve())


@pytest.fixture
def refusal(tmp_path):
    """Load the preset `ci` with changes; return the message of its refusal."""

    def refuse(*changes, file="mine.yaml"):
        content = yaml.safe_load(yaml.safe_dump(CI))
        for path, value in changes:
            *parents, last = path.split("/")
            place = content
            for key in parents:
                place = place[key]
            place[last] = value
        (tmp_path / file).write_text(yaml.safe_dump(content))
        with pytest.raises(PresetError) as caught:
            load_preset(str(tmp_path / file))
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / file}: ")
        return message.removeprefix(f"{tmp_path / file}: ")

    return refuse


def fixed(**weights):
    return {"method": "fixed", "settings": {"weights": weights}}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_presets_load(name):
    preset = load_preset(name)
    assert preset.name == name
    assert preset.catalogue.is_file()
    assert 0 < preset.epoch_share <= 1


def test_every_shipped_preset_is_tested():
    assert {path.stem for path in PRESETS.glob("*.yaml")} == set(SHIPPED)


def test_epoch_share_and_tokens_by_hand():
    preset = load_preset("ci")
    assert preset.proxy.num_tokens == 30 * 8 * 32
    assert preset.target.num_tokens == 80 * 8 * 32
    assert preset.epoch_share == 30 / 80


def test_a_path_is_a_preset_too_and_its_catalogue_is_relative_to_it(tmp_path):
    (tmp_path / "corpora.yaml").write_text(Path(CI["catalogue"]).read_text())
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(CI | {"catalogue": "corpora.yaml"}))
    preset = load_preset(str(tmp_path / "mine.yml"))
    assert (preset.name, preset.catalogue) == ("mine", tmp_path / "corpora.yaml")


def test_an_evaluation_is_found_beside_the_preset(tmp_path):
    evaluations = {"contamination": {"evaluations": {"exam": "exam.jsonl"}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(CI | evaluations))
    preset = load_preset(str(tmp_path / "mine.yaml"))
    assert preset.contamination.evaluations == {"exam": tmp_path / "exam.jsonl"}


def test_training_domains_are_those_of_the_cut(tmp_path):
    assert training_domains(load_preset("ci")) == ("code", "dialogue", "literature", "techdoc")
    assert training_domains(load_preset("skills")) == ("manuals", "programs", "prose")
    strata = [f"{domain}-q{k}" for domain in training_domains(load_preset("ci")) for k in (1, 2)]
    assert training_domains(load_preset("quality")) == tuple(strata)


def test_a_reference_of_everything_leaves_no_background(refusal):
    every = ["django-modules", "django-pages", "macbeth-and-sonnets", "small-talk"]
    assert "no corpus is left for the background" in refusal(("score", {"reference": every}))


def test_fixed_weights_that_sum_to_one_are_a_method(tmp_path):
    weights = fixed(code=0.25, dialogue=0.25, literature=0.5, techdoc=0.0)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(CI | {"methods": {"tuned": weights}}))
    assert load_preset(str(tmp_path / "mine.yaml")).methods["tuned"].method == "fixed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("swrm", {}), "swrm: unknown key; remove it or correct its spelling"),
        (("proxy/model/depth", 2), "proxy.model.depth: unknown key"),
        (("proxy/schedule/steps", 0), "proxy.schedule.steps: Input should be greater than"),
        (("proxy/model/num_heads", 3), "proxy.model: hidden_size 32 must be a multiple of 2 *"),
        (("tokenizer/vocab_size", 256), "tokenizer.vocab_size: Input should be greater than"),
        (("law", "cubic"), "law: unknown law 'cubic'; choose one of ['additive'"),
        (("skills", {"seeds": [1, 1]}), "skills.seeds: a seed stands there twice in [1, 1]"),
        (("skills", {"pairs": False}), "skills.seeds: missing; add it"),
        (("transfer", {"num_mixtures": 3}), "transfer.num_mixtures: Input should be greater than"),
        (("transfer", {"num_mixtures": 13}), "transfer.num_mixtures: 13 of a swarm of 12 runs"),
        (
            ("transfer", {"num_mixtures": 4, "shape": CI["proxy"]}),
            "transfer.shape is that of the proxies: a second scale must differ",
        ),
        (
            ("transfer", {"num_mixtures": 4, "shape": LONGER}),
            "transfer.shape: 256000 tokens lie outside 7680 (a proxy) to 20480 (a training run)",
        ),
        (("plan/within_runs", 2), "plan.within_runs: Input should be less than or equal to 1"),
        (("seeds", []), "seeds: List should have at least 1 item"),
        (("seeds", [-1]), "seeds.0: Input should be greater than or equal to 0, got -1"),
        (("seeds", [0, 1, 0]), "seeds: a seed stands there twice in [0, 1, 0]; remove one"),
        (("methods", {}), "methods: Dictionary should have at least 1 item"),
        (
            ("methods/uniform/method", "unifrom"),
            "methods.uniform: unknown method 'unifrom'; choose one of ['aioli', 'curriculum'",
        ),
        (
            ("methods/learned", {"method": "learned", "settings": {"weights_from": "nobody"}}),
            "methods.learned.settings: the method 'learned' has one, weights_from, the label of a",
        ),
        (
            ("methods/learned", {"method": "learned", "settings": {"weights_from": {"a": 1.0}}}),
            "methods.learned.settings: the method 'learned' has one, weights_from, the label of a "
            "learner; learners are [], got {'weights_from': {'a': 1.0}}",
        ),
        (
            ("learners", {"x": {"mixer": {"method": "doremi"}}}),
            "learners.x: mixer 'doremi' compares losses with a reference model",
        ),
        (
            ("learners", {"x": {"mixer": {"method": "odm"}}}),
            "learners.x: the mixer 'odm' learns no weights for another run; use doremi or doge",
        ),
        (
            ("learners", {"x": {"mixer": DOGE, "reference": {"method": "uniform"}}}),
            "learners.x: reference: the mixer 'doge' compares no losses",
        ),
        (("methods/two words", {"method": "uniform"}), "methods.two words"),
        (
            ("methods/law-optimal/settings", {"kl": 0.1}),
            "methods.law-optimal.settings: the method 'plan' has none, got ['kl']; remove them",
        ),
        (("methods/uniform/settings", {"bias": 1}), "methods.uniform: mixer 'uniform', settings: "),
        (("methods/aioli/settings/round_steps", 2), "methods.aioli: the probes of a round take"),
        (
            ("methods/tuned", fixed(code=0.25, dialogue=0.25, literature=0.25, techdoc=0.15)),
            "methods.tuned: mixer.settings.weights must sum to 1, got the sum 0.9; divide by it",
        ),
        (
            ("methods/tuned", fixed(code=0.5, prose=0.5)),
            "methods.tuned: mixer.settings.weights must name every domain once: "
            "missing ['dialogue', 'literature', 'techdoc'], unknown ['prose']",
        ),
        (
            ("methods/tuned", fixed(code=-0.5, dialogue=0.5, literature=0.5, techdoc=0.5)),
            "methods.tuned: mixer.settings.weights must be finite and not negative",
        ),
        (("contamination", {"heldout_overlap": 0}), "contamination.heldout_overlap: Input should"),
        (("tags", {"by": {"tagger": "oracle"}}), "tags.by: unknown tagger 'oracle'; choose one of"),
        (
            ("tags", {"by": {"tagger": "linear", "settings": {"labels": "a"}}}),
            "tags.by: settings of linear.labels: Unexpected keyword argument",
        ),
        (("tags", {"by": RULES, "beside": RULES}), "tags: beside: 'rules' counts already"),
        (
            ("tags", {"by": RULES, "corpora": {"blog": {"tagger": "metadata"}}}),
            "tags.corpora: 'blog' is unknown or stands there twice; name each of ['django-modules'",
        ),
        (("score", {"reference": []}), "score.reference: "),
        (("score", {"reference": ["blog"]}), "score.reference and score.background: 'blog' is"),
        (
            ("score", {"reference": ["small-talk"], "background": ["small-talk"]}),
            "score.reference and score.background: 'small-talk' is unknown or stands there twice",
        ),
        (("domains", {"strata": 2}), "domains.strata: nothing is scored; say what is good"),
        (("domains", {"skills": {"a": ["x"], "b": ["y"]}}), "domains.skills: nothing is tagged"),
        (("domains", {}), "domains: a cut needs either skills or strata"),
        (("domains", {"skills": {"a": ["x"]}}), "domains: skills: a mixture needs at least two"),
        (
            ("domains", {"skills": {"a": ["x"], "b": ["x"]}}),
            "domains: skills: 'x' belongs to two domains; name it once",
        ),
        (
            ("domains", {"skills": {"a": ["x"]}, "rest": "a"}),
            "domains: rest: 'a' is a domain of skills already",
        ),
        (("domains", {"strata": 2, "rest": "a"}), "domains: rest: strata take every document"),
        (
            ("methods/best", {"method": "score_weighted"}),
            "methods: 'score_weighted' needs domains.strata",
        ),
        (
            ("target/schedule/steps", 20),
            "a proxy of 7680 tokens is longer than its target of 5120: lower proxy.schedule.steps",
        ),
    ],
)
def test_each_mistake_names_key_and_remedy(refusal, change, message):
    assert refusal(change).startswith(message)


def test_all_mistakes_are_told_at_once(refusal):
    told = refusal(("swrm", {}), ("seeds", []))
    assert "swrm: unknown key" in told
    assert "seeds: List should have" in told


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({key: CI[key] for key in CI if key != "target"}))
    with pytest.raises(PresetError, match=r"mine\.yaml: target: missing; add it"):
        load_preset(str(path))


def test_no_such_preset_lists_those_there_are():
    with pytest.raises(PresetError, match=r"nightly\.yaml: no such preset; .* \['ci', 'demo', "):
        load_preset("nightly")


def test_no_such_path(tmp_path):
    with pytest.raises(PresetError, match="no such preset; give a path"):
        load_preset(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("swarm: {num_runs: 3", r"not valid YAML: .*line 1"),
        ("- swarm\n- proxy\n", "a preset is a mapping"),
        ("", "a preset is a mapping"),
        ("law: log_linear\nlaw: other\n", "the key 'law' stands there twice; remove one"),
        ("methods: {a: {method: uniform}, a: {method: plan}}", "the key 'a' stands there twice"),
    ],
)
def test_what_is_no_yaml_mapping_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(PresetError, match=rf"(?s)mine\.yaml: .*{message}"):
        load_preset(str(path))


def test_a_catalogue_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(CI | {"catalogue": "nowhere.yaml"}))
    with pytest.raises(CorpusError, match=r"nowhere\.yaml cannot be read"):
        load_preset(str(path))


def test_the_digest_sees_every_value_and_no_order():
    preset = load_preset("ci")
    assert config_digest(preset.proxy) != config_digest(preset.target)
    assert config_digest({"a": 1, "b": 2}) == config_digest({"b": 2, "a": 1})
    assert config_digest(1, 2) != config_digest(2, 1)
    assert len(config_digest("x")) == 8


def test_a_priority_names_corpora_of_the_catalogue_once(refusal):
    for wrong in (["small-talk", "gone"], ["small-talk", "small-talk"]):
        message = refusal(("deduplication", {"priority": wrong}))
        assert message.startswith(f"deduplication.priority: {wrong[1]!r} is unknown or stands")


def test_an_unknown_cleaning_profile_is_told_before_anything_is_read(tmp_path):
    corpora = yaml.safe_load(Path(CI["catalogue"]).read_text())
    next(iter(corpora["corpora"].values()))["cleaning"] = "spotless"
    (tmp_path / "corpora.yaml").write_text(yaml.safe_dump(corpora))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**CI, "catalogue": "corpora.yaml"}))
    with pytest.raises(PresetError, match=r"field 'cleaning': unknown cleaning profile 'spotless'"):
        load_preset(str(tmp_path / "mine.yaml"))
