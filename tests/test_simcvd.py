"""SimCVD: what goes to which network, what slices are made of, which terms have which weight."""

import pytest
import torch

from tests import small
from tests.references import losses as reference
from tests.references import rivals
from vpbsd.config import LightNet
from vpbsd.losses.boundary import signed_distance
from vpbsd.methods.method import Clock
from vpbsd.methods.rival_configs import SimCVD, SimCVDConfig
from vpbsd.methods.roster import build_method
from vpbsd.methods.semi import inpainted
from vpbsd.methods.simcvd import View
from vpbsd.networks.boundary_heads import DistanceHead, SliceProjector, draw_slices
from vpbsd.networks.output import SegOutput
from vpbsd.random_streams import generator

SHAPE = (2, 1, 32, 32, 64)
CLOCK = Clock(3, 2, 8)
NAMES = {"sup", "sdm", "contrast", "pairwise", "cons"}


@pytest.fixture(scope="module")
def batch():
    return small.semi_batch(SHAPE)


def made(**changes):
    return build_method(SimCVDConfig(simcvd=SimCVD(**{"pool": 8} | changes)), 5)


def views(method, batch):
    """What the student and its average make of the unlabelled patches."""
    chosen = chosen_slices(method.simcvd.slices, batch)
    return [method._view(w, batch.unlabelled, chosen, CLOCK) for w in ("student", "average")]


def test_equal_networks_that_see_the_same_agree(batch):
    """Without noise and dropout the positives are equal and the outputs do not differ."""
    method = made(noise=0.0, dropout=0.0)
    method.mean.update(method.student, 0), method.mean_heads.update(method.heads, 0)
    terms = method.losses(batch, CLOCK)
    assert terms["cons"].item() == 0
    ours, theirs = views(method, batch)
    assert torch.equal(ours.slices, theirs.slices)
    noisy = made(noise=0.0, dropout=0.1)
    a, b = (view.slices for view in views(noisy, batch))
    assert not torch.equal(a, b), "two masks"


def test_terms_equal_their_equations(batch):
    method = made(slices=6)
    with torch.no_grad():
        terms = method.losses(batch, CLOCK)
    assert terms.keys() == NAMES
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        answer = method.student(batch.labelled.image)
        guess = method.heads["distance"](answer).numpy()
    label, valid = batch.labelled.label, batch.labelled.valid
    logits = answer.logits.double().numpy()
    assert terms["sup"].item() == pytest.approx(
        reference.dice_ce(logits, label.numpy(), valid.numpy()), abs=1e-5
    )
    errors = (guess - signed_distance(label, valid, 10).numpy()) ** 2
    assert terms["sdm"].item() == pytest.approx(errors[valid.numpy() == 1].mean(), abs=1e-6)
    quiet = made(slices=6, dropout=0.0)
    with torch.no_grad():
        found = quiet.losses(batch, CLOCK)
        ours, theirs = views(quiet, batch)
    vectors = [v.slices.double().numpy() for v in (theirs, ours)]
    assert found["contrast"].item() == pytest.approx(rivals.info_nce(*vectors, 0.5), abs=1e-4)
    tokens = [v.tokens.double().numpy() for v in (ours, theirs)]
    share = reference.token_share(batch.unlabelled.valid.numpy(), (2, 2, 4))
    assert found["pairwise"].item() == pytest.approx(rivals.pairwise(*tokens, share), abs=1e-5)
    real = batch.unlabelled.valid == 1
    pairs = zip(ours.maps, theirs.maps, strict=True)
    errors = [(a - b).square()[real].mean().item() for a, b in pairs]
    assert found["cons"].item() == pytest.approx(sum(errors) / 2, rel=1e-4)


def test_slices_are_of_image_plus_map_and_never_of_padding(batch):
    method, seen = made(dropout=0.0, slices=64), []
    method.heads["slices"].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        view, _ = views(method, batch)
    chosen = chosen_slices(64, batch)
    assert sorted(chosen.tolist()) == [*range(20), *range(32, 52)]
    aware = (batch.unlabelled.image + view.maps[1]).flatten(0, 2)
    assert all(torch.equal(one, aware[chosen]) for one in seen), "the same for both views"
    assert torch.equal(chosen_slices(6, batch), chosen[:6])


def chosen_slices(most, batch):
    return draw_slices(batch.unlabelled.valid, most, generator(5, "slices", CLOCK.step))


def test_without_distance_maps_slices_are_of_image_plus_probability(batch):
    method = made(sdm=False)
    assert "distance" not in method.heads
    seen = []
    method.heads["slices"].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    view, _ = views(method, batch)
    assert len(view.maps) == 1
    aware = (batch.unlabelled.image + view.maps[0]).flatten(0, 2)
    assert torch.equal(seen[0], aware[chosen_slices(32, batch)])
    assert method.losses(batch, CLOCK).keys() == NAMES - {"sdm"}


@pytest.mark.parametrize(
    ("change", "gone", "heads"),
    [
        ({"contrast": 0}, "contrast", {"distance"}),
        ({"pairwise": 0}, "pairwise", {"distance", "slices"}),
        ({"consistency": 0}, "cons", {"distance", "slices"}),
        ({"alpha": 0}, "sdm", {"distance", "slices"}),
        ({"alpha": 0, "contrast": 0, "consistency": 0}, None, set()),
    ],
)
def test_a_term_without_weight_is_left_out(change, gone, heads, batch):
    method = made(**change)
    assert set(method.heads) == heads
    wanted = NAMES - {gone} if gone else {"sup", "pairwise"}
    assert method.losses(batch, CLOCK).keys() == method.weights(CLOCK).keys() == wanted


def test_the_three_weights_rise_together_and_alpha_does_not():
    weights = made().weights(Clock(50, 10, 100))
    ramp = 0.2865048
    wanted = {"sup": 1, "sdm": 0.1, "contrast": 0.5 * ramp, "pairwise": 0.1 * ramp}
    assert weights == pytest.approx(wanted | {"cons": 0.1 * ramp}, abs=1e-6)
    short = made(ramp_share=0.5).weights(Clock(50, 10, 100))
    assert short["contrast"] == 0.5


def test_only_the_student_side_takes_gradients(batch):
    method = made()
    sum(method.losses(batch, CLOCK).values()).backward()
    assert all(p.grad is None for m in (method.mean, method.mean_heads) for p in m.parameters())
    assert all(p.grad is not None for p in method.heads.parameters())


def test_dropout_comes_from_a_stream_of_its_step(batch, monkeypatch):
    """Nothing else differs between steps: no noise, the same slices."""
    monkeypatch.setattr("vpbsd.methods.simcvd.draw_slices", lambda *_: torch.arange(20))
    method = made(noise=0.0)
    with torch.no_grad():
        torch.manual_seed(1)
        one = method.losses(batch, CLOCK)["contrast"].item()
        torch.manual_seed(2)
        same, other = (method.losses(batch, c)["contrast"].item() for c in (CLOCK, Clock(4, 2, 8)))
        still = made(noise=0.0, dropout=0.0)
        plain = [still.losses(batch, c)["contrast"].item() for c in (CLOCK, Clock(4, 2, 8))]
    assert one == same
    assert plain[0] == plain[1]
    assert abs(one - other) > 1e-4


def test_a_projector_drops_pixels_while_training_only():
    slices = torch.rand(4, 16, 16)
    for dropout, differ in ((0.0, False), (0.5, True)):
        head = SliceProjector(8, "average", dropout)
        assert torch.equal(head(slices), head(slices)) != differ
        assert torch.equal(head.eval()(slices), head(slices))


def test_guessed_distances_are_bounded_and_as_large_as_the_logits():
    head = DistanceHead(4, 3)
    far = SegOutput(torch.zeros(1, 3, 8, 8, 8), (), (100 * torch.randn(1, 4, 4, 4, 4),))
    guess = head(far)
    assert guess.shape == (1, 2, 8, 8, 8)
    assert 0.9 < guess.abs().max() <= 1


def test_boxes_are_painted_over_and_the_rest_stays():
    image = torch.rand(2, 1, 24, 24, 48) + 2
    painted, again = (inpainted(image, generator(0, "boxes")) for _ in range(2))
    assert torch.equal(painted, again)
    gone = painted != image
    assert 0.01 < gone.float().mean() < 0.2
    assert painted[gone].max() < 1
    assert not torch.equal(gone[0], gone[1])


def test_boxes_reach_every_border(monkeypatch):
    """Where a box as large as fits is pushed as far as it goes, the last plane is painted."""
    most = torch.tensor([1 - 1e-6])
    monkeypatch.setattr(
        "torch.rand", lambda n, generator: most.expand(n) if n == 3 else torch.zeros(n)
    )
    image = torch.ones(1, 1, 24, 24, 48)
    painted = inpainted(image, generator(0, "boxes"))
    assert (painted[0, 0, -1, -1, -1], painted[0, 0, -7, -7, -15]) == (0, 0)
    assert painted[0, 0, -8].min() == 1


def test_of_several_classes_the_background_counts_in_the_consistency(batch):
    """p (.5, .3, .2) and t (.5, .1, .4) differ by 0, .2, .2; of maps by 0."""
    method = made()

    def view(*p):
        q = torch.tensor(p[1:]).view(1, 2, 1, 1, 1).expand(1, 2, 2, 2, 2)
        return View([q, torch.zeros_like(q)], None, None)

    method.simcvd = SimCVD(contrast=0, pairwise=0)
    terms = method._agreement(view(0.5, 0.3, 0.2), view(0.5, 0.1, 0.4), torch.ones(1, 1, 2, 2, 2))
    assert terms["cons"].item() == pytest.approx((0.04 + 0.04) / 3 / 2)


def test_only_what_changed_was_raised():
    """Binary stages of the default views keep their keys."""
    three = LightNet(classes=3)
    painted = SimCVDConfig(simcvd=SimCVD(views="inpainting"))
    assert SimCVDConfig().numerics == 1
    assert painted.numerics == SimCVDConfig(network=three).numerics == 2
    assert SimCVDConfig(network=three, simcvd=SimCVD(consistency=0)).numerics == 1


def test_the_widest_student_has_heads_that_fit(batch):
    method = build_method(SimCVDConfig(network=LightNet(widths=(8, 16, 20, 32), z_halvings=4)), 0)
    assert method.losses(batch, CLOCK)["pairwise"].isfinite()


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"contrast": 0.0}, {"temperature": 0.1, "slices": 16, "pool": 16}),
        ({"views": "inpainting"}, {"dropout": 0.5}),
        ({"sdm": False}, {"clip": 5, "alpha": 0.7}),
        ({"alpha": 0.0}, {"clip": 5}),
        (
            {"contrast": 0.0, "pairwise": 0.0, "consistency": 0.0},
            {"ramp_share": 0.5, "noise": 0.3, "decay": 0.9, "views": "inpainting"},
        ),
    ],
)
def test_what_means_nothing_is_in_no_key(changes, same):
    plain, other = SimCVD(**changes), SimCVD(**changes, **same)
    assert plain != other
    assert plain.in_use() == other.in_use() == plain
    assert SimCVD(**same).in_use() == SimCVD(**same), "it matters elsewhere"


def test_half_precision_gives_finite_terms_near_those_of_full(batch):
    method = made(dropout=0.0)
    with torch.no_grad():
        plain = method.losses(batch, CLOCK)
        with torch.autocast("cpu", torch.bfloat16):
            half = method.losses(batch, CLOCK)
    for name, term in half.items():
        assert term.dtype == torch.float32, name
        assert term.item() == pytest.approx(plain[name].item(), rel=0.05, abs=1e-3), name


@pytest.mark.parametrize("views", ["dropout", "inpainting"])
def test_each_network_sees_unlabelled_patches_in_its_own_way(views, batch):
    method, asked = made(views=views), []
    for network in (method.student, method.mean.inner):
        network.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    with torch.no_grad():
        method.losses(batch, CLOCK)
    known, ours, theirs = asked
    clean = batch.unlabelled.image
    assert torch.equal(known, batch.labelled.image)
    assert all((one != clean).float().mean() > 0.9 for one in (ours, theirs))
    assert (ours != theirs).float().mean() > 0.9
    painted = [((one - clean).abs() > 0.1).float().mean() for one in (ours, theirs)]
    assert all((share > 0.01) == (views == "inpainting") for share in painted), painted
