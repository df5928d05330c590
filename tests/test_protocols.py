"""Published protocols: a named split, windows a stride apart, SGD in two plateaus, as settings."""

import pytest

from tests.facts import groups, names, volume
from vpbsd.data.folds import make_folds
from vpbsd.errors import BadInput
from vpbsd.overrides import override, parse_changes
from vpbsd.pipeline.recipes import trial
from vpbsd.protocol import Protocol
from vpbsd.published import PROTOCOLS, settings_from
from vpbsd.settings import laptop

HUNDRED = tuple(volume(f"patient{n:03d}", f"patient{n:03d}") for n in range(100))[::-1]
LA = "la2018"


def test_the_last_by_name_are_tested_and_the_first_keep_their_labels():
    (fold,) = make_folds(HUNDRED, settings_from("paper", LA).protocol)
    every = sorted(v.name for v in HUNDRED)
    assert names(fold.train) == every[:8]
    assert names(fold.unlabelled) == every[8:80]
    assert names(fold.test) == every[80:]
    assert not any(part.volume.labelled for part in fold.unlabelled)
    (more,) = make_folds(
        HUNDRED, settings_from("paper", LA, {"protocol.train_groups": 16}).protocol
    )
    assert names(more.train) == every[:16]


def test_tested_groups_may_be_named_and_another_draw_is_another_order():
    named = {"split": "named", "tested": ("patient003", "patient001"), "train_groups": 2}
    (fold,) = make_folds(HUNDRED, Protocol(**named))
    assert groups(fold.test) == {"patient001", "patient003"}
    assert names(fold.train) == ["patient000", "patient002"]
    (other,) = make_folds(HUNDRED, Protocol(**named, draw=1))
    assert names(other.train) != names(fold.train)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tested": 100}, "100 groups, and 100 have a label: none is left"),
        ({"tested": ["patient3"]}, "names patient3, which is no labelled group; did you mean"),
        ({"train_groups": 81}, "only 80 training groups"),
    ],
)
def test_a_split_that_cannot_be_is_refused(changes, says):
    protocol = override(settings_from("paper", LA).protocol, changes)
    with pytest.raises(BadInput, match=says):
        make_folds(HUNDRED, protocol)


@pytest.mark.parametrize("change", ["protocol.split=named", "protocol.tested=3"])
def test_a_named_split_and_whom_it_tests_go_together(change):
    with pytest.raises(BadInput, match="go together"):
        override(laptop(), parse_changes([change]))


def test_a_protocol_is_what_a_user_can_write():
    """Dotted paths and values, as `--set` takes them; a later change goes further."""
    plain = dict(PROTOCOLS[LA].changes)
    assert settings_from("laptop", LA) == override(laptop(), plain)
    assert settings_from("laptop", LA, {"data.patch": (96, 128, 128)}).data.patch == (96, 128, 128)
    assert settings_from("laptop", None) == laptop()


def test_v_net_is_trained_and_measured_as_published():
    s = settings_from("paper", LA)
    (fold,) = make_folds(HUNDRED, s.protocol)
    for arm, unlabelled in (("vnet", 0), ("simcvd_vnet", 72)):
        last = trial(s, arm, fold, 0)
        assert last.config.stride == (4, 18, 18)
        trained = last.upstream["network"]
        optim = trained.config.optim
        assert optim.epochs * optim.steps_per_epoch == 6000
        rates = {optim.curve(step // 150) for step in range(6000)}
        assert rates == {(0, 1), (1, 1)}
        assert trained.config.data.patch == (80, 112, 112)
        assert len(trained.parts.get("unlabelled", ())) == unlabelled
    plain = trial(laptop(), "vnet", fold, 0)
    assert plain.config.stride is None
    assert plain.upstream["network"].config.optim.name == "adam", "the budget of other references"


def test_a_patch_that_five_halvings_do_not_divide_is_refused_by_arm():
    s = settings_from("paper", LA)
    (fold,) = make_folds(HUNDRED, s.protocol)
    with pytest.raises(BadInput, match=r"'simcvd' .* data.patch=\[96,128,128\], or the arms vnet"):
        trial(s, "simcvd", fold, 0)
    assert trial(override(s, {"data.patch": (96, 128, 128)}), "simcvd", fold, 0).key


def test_another_data_set_is_told_from_the_published_one():
    assert PROTOCOLS[LA].doubt(LA, HUNDRED) == ""
    assert "100 labelled groups, and there are 20" in PROTOCOLS[LA].doubt(LA, HUNDRED[:20])


def test_a_change_of_a_protocol_stays_with_whom_it_was_asked_for():
    """What is published is not written over by a path that goes into one of its sections."""
    assert settings_from("paper", LA, {"student.optim.epochs": 7}).student.optim.epochs == 7
    assert settings_from("paper", LA).student.optim.epochs == 40
