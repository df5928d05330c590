"""Settings are checked where they enter, and one content has one digest."""

import json
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vpbsd.config import Codebook, Data
from vpbsd.errors import BadInput
from vpbsd.optim import Optim
from vpbsd.overrides import nearest, override, parse_changes
from vpbsd.section import Later, Section, canonical, digest
from vpbsd.settings import PRESETS, Settings, paper

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def problem(changes):
    with pytest.raises(BadInput) as caught:
        override(paper(), changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_change_reaches_its_field_and_no_other():
    changed = override(paper(), {"student.gamma": 0.5, "pretrain.network.codebook.size": 64})
    assert changed.student.gamma == 0.5
    assert changed.pretrain.network.codebook.size == 64
    assert (
        override(changed, {"student.gamma": 1, "pretrain.network.codebook.size": 128}) == paper()
    )


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("student.gama", "setting 'student.gama' has no field 'gama'; did you mean 'gamma'?"),
        ("studnt.gamma", "setting 'studnt.gamma' has no field 'studnt'; did you mean 'student'?"),
        (
            "data.zzz",
            "known are classes, clip_percentile, intensity, patch, window",
        ),
        ("augment.share", "setting 'augment.share' has no field 'share'"),
        ("student.gamma.x", "setting 'student.gamma.x' has no field 'x'"),
    ],
)
def test_a_path_that_does_not_exist_offers_the_nearest(path, says):
    assert problem({path: 1}).endswith(says)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (
            "student.optim.epochs",
            2.5,
            "setting 'student.optim.epochs': Input should be a valid int",
        ),
        (
            "sampling.patches",
            0,
            "setting 'sampling.patches': Input should be greater than or equal",
        ),
        ("data.clip_percentile", 101, "(given: 101)"),
        (
            "student.gamma",
            -1,
            "setting 'student.gamma': Input should be greater than or equal to 0",
        ),
        (
            "student.gamma",
            float("nan"),
            "setting 'student.gamma': Input should be a finite number",
        ),
        ("precision", "fp16", "setting 'precision': Input should be 'fp32' or 'bf16'"),
        ("data.patch", [32, 32, 32], "setting 'data': patch 32x32x32 is not one the teacher can"),
        ("data.patch", [64, 64, 40], "patch 64x64x40 is not one the teacher can take"),
        ("data.patch", [0, 64, 64], "patch 0x64x64"),
        ("pretrain.network.feature_size", 18, "multiple of 12"),
    ],
)
def test_a_value_its_field_refuses_is_named(path, value, says):
    assert says in problem({path: value})


@pytest.mark.parametrize("patch", [(64, 64, 64), (32, 64, 64), (32, 32, 64), (96, 32, 32)])
def test_patches_the_teacher_can_take(patch):
    assert Data(patch=patch).patch == patch


def test_automatic_kappa_needs_a_choice_that_can_be_undecided():
    message = problem({"pretrain.network.codebook.size": 2})
    assert "at least 3" in message
    assert Codebook(size=2, kappa=1.0).size == 2


def test_settings_are_frozen_and_closed():
    with pytest.raises(ValidationError):
        paper().augment = False
    with pytest.raises(ValidationError):
        Data(patches=3)


def test_changes_are_json_or_text():
    texts = ["a.b=0.5", "c=[1, 2]", "d=group", "e=null", "f=x=y"]
    wanted = {"a.b": 0.5, "c": [1, 2], "d": "group", "e": None, "f": "x=y"}
    assert parse_changes(texts) == wanted
    with pytest.raises(BadInput, match="--set gamma: write it as path=value"):
        parse_changes(["gamma"])


def test_nearest_word_or_all_of_them():
    assert nearest("gama", ["beta", "gamma"]) == "; did you mean 'gamma'?"
    assert nearest("zzz", ["b", "a"]) == "; known are a, b"


@pytest.mark.parametrize("preset", PRESETS)
def test_a_digest_does_not_depend_on_how_settings_came_to_be(preset):
    made = PRESETS[preset]()
    read = Settings.model_validate(json.loads(canonical(made)))
    assert digest(made) == digest(override(made, {})) == digest(read)
    assert digest(Optim(lr=1, epochs=1)) == digest(Optim(lr=1.0, epochs=1))


def test_the_digest_is_stable_between_releases():
    """SHA-256 of {"a":[1,2.5],"b":"x"}; a change here would train everything again."""
    wanted = "5cefae54a95b31dc660d6cbbb2198f0811fc70ee37b1cc85b1989870cd293ffb"
    assert digest({"b": "x", "a": (1, 2.5)}) == wanted


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=5), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_canonical_text_ignores_order_and_keeps_all(value, random):
    names = list(value)
    random.shuffle(names)
    assert canonical({name: value[name] for name in names}) == canonical(value)
    assert json.loads(canonical(value)) == value


@given(st.integers(1, 5), st.integers(1, 5))
@settings(deadline=None, max_examples=20)
def test_different_settings_have_different_digests(a, b):
    one, other = (digest(Optim(lr=1.0, epochs=n)) for n in (a, b))
    assert (one == other) == (a == b)


def test_what_is_not_finite_has_no_text():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"a": float("inf")})


class Grown(Section):
    """A section that has got a field since results were stored."""

    old: int = 1
    new: Annotated[str, Later()] = "as before"


def test_a_later_field_at_its_default_is_in_no_key_but_can_be_set():
    assert canonical(Grown()) == '{"old":1}'
    assert canonical(Grown(new="other")) == '{"new":"other","old":1}'
    assert Grown.model_validate_json(canonical(Grown())) == Grown()
    assert override(Grown(), {"new": "other"}).new == "other"
