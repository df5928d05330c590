"""Arms of the pre-trainings beside VpbSD's: each is a teacher under settings that it fixes.

They are measured as in their papers: a network that was pre-trained is fine-tuned on the labelled
groups. With students that learn from such a teacher they cross in `crossings`.
"""

from __future__ import annotations


def _fixed(pretext: str, **changes: object) -> dict[str, object]:
    section = "slices" if pretext in ("comparative", "contrastive") else pretext
    own = {f"pretrain.{section}.{name}": value for name, value in changes.items()}
    return {"pretrain.pretext": pretext, **own}


AS_CODED: dict[str, object] = {
    "form": "code",
    "global_weight": 0.5,
    "p2p_weight": 0.5,
    "p2s_weight": 0.5,
    "tau": 0.9,
    "tau_match": 1.0,
    "matcher": "sinkhorn",
}
"""S2DC as its authors' code and the command they ship with it train it."""


PRETRAINED: dict[str, tuple[str, dict[str, object]]] = {
    "s2dc": ("S2DC pre-training", _fixed("s2dc")),
    "s2dc_wo_global": ("S2DC w/o L_g", _fixed("s2dc", global_weight=0.0)),
    "s2dc_wo_p2p": ("S2DC w/o L_p2p", _fixed("s2dc", p2p_weight=0.0)),
    "s2dc_wo_p2s": ("S2DC w/o L_p2s", _fixed("s2dc", p2s_weight=0.0)),
    "s2dc_sinkhorn": ("S2DC, Sinkhorn", _fixed("s2dc", matcher="sinkhorn")),
    "s2dc_code": ("S2DC, as its code has it", _fixed("s2dc", **AS_CODED)),
    "comparative": ("Comparative pre-training", _fixed("comparative")),
    "comparative_p2": ("Comparative, P = 2", _fixed("comparative", partitions=2)),
    "comparative_p8": ("Comparative, P = 8", _fixed("comparative", partitions=8)),
    "comparative_encoder": (
        "Comparative, encoder only",
        _fixed("comparative", encoder_share=1.0),
    ),
    "contrastive": ("Contrastive pre-training", _fixed("contrastive")),
    "contrastive_tau": ("Contrastive, tau .1", _fixed("contrastive", tau=0.1)),
    "chaitanya": ("Chaitanya's G^D", _fixed("chaitanya")),
    "comparative_unetr": ("UNETR, comparative pre-training", _fixed("comparative")),
}
"""Arm -> its title, and what it sets; all but the last are a Swin UNETR teacher."""

BESIDE = ("light_unet", "teacher_no_pretrain", "teacher")
PRETRAINING_TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "s2dc": ("S2DC", (*BESIDE, *(arm for arm in PRETRAINED if arm.startswith("s2dc")))),
    "comparative": (
        "Comparative and contrastive pre-training",
        (*BESIDE, "unetr", *(arm for arm in PRETRAINED if not arm.startswith("s2dc"))),
    ),
}
"""Table -> its heading, and its arms."""
