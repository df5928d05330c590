"""Arms of rival systems and of their papers' own ablations; `arms` takes these tables in."""

from __future__ import annotations

from collections.abc import Callable

from vpbsd.config import SwinNet
from vpbsd.methods.rival_configs import (
    CpsConfig,
    DicoConfig,
    McscConfig,
    SimCVDConfig,
    WithTransformer,
)
from vpbsd.section import derive
from vpbsd.settings import Settings

RivalConfig = CpsConfig | SimCVDConfig | McscConfig | DicoConfig


def rival(target: type[RivalConfig]) -> Callable[[Settings], RivalConfig]:
    """Makes the recipe of a rival: its config, of the section of settings that has its name."""

    def config(s: Settings) -> RivalConfig:
        name = target.model_fields["name"].default
        more = {name: getattr(s.rivals, name).in_use(), "network": s.student.network}
        if issubclass(target, WithTransformer):
            more["transformer"] = _transformer(s)
        return derive(target, s.rivals, **more)

    return config


def _transformer(s: Settings) -> SwinNet:
    """Makes a small network of the teacher's kind, without code words."""
    size = {"feature_size": s.rivals.transformer_size, "codebook": None}
    return s.pretrain.network.model_copy(update=size)


def _without_dots(value: float) -> str:
    return f"{value:g}".replace(".", "_")


_SIMCVD: dict[str, tuple[str, dict[str, object]]] = {
    "wo_sdm": ("w/o SDM", {"sdm": False}),
    "wo_contrast": ("w/o L_contrast", {"contrast": 0.0}),
    "wo_pairwise": ("w/o L_pd", {"pairwise": 0.0}),
    "wo_consistency": ("w/o L_con", {"consistency": 0.0}),
    **{
        f"dropout_{_without_dots(p)}": (f"dropout {p:g}", {"dropout": p})
        for p in (0.0, 0.05, 0.2, 0.5)
    },
    **{f"pool_{side}": (f"slices of {side}^2", {"pool": side}) for side in (16, 32)},
    # slices are 64^2 as it is, where maxima and means are one and the same
    "max_pool": ("maxima to 32^2", {"pooling": "max", "pool": 32}),
    "inpainting": ("in-painting, no dropout", {"views": "inpainting"}),
    **{
        f"tau_{_without_dots(tau)}": (f"temperature {tau:g}", {"temperature": tau})
        for tau in (0.1, 0.2, 1.0)
    },
}
"""The ablations of SimCVD's tables III to V: key -> title, what is changed."""

_MCSC: dict[str, tuple[str, dict[str, object]]] = {
    "wo_contrast": ("w/o local contrast", {"contrast": 0.0}),
    "all_anchors": ("background as anchor", {"anchors": "all"}),
    "own_labels": ("own labels", {"labels": "own"}),
    "unbalanced": ("not balanced", {"balanced": False}),
    **{
        f"scales_{'_'.join(map(str, cells))}": (
            f"scales 1/{' and 1/'.join(map(str, cells))}",
            {"scales": cells},
        )
        for cells in ((2,), (4,), (8,), (2, 4), (2, 4, 8))
    },
}
"""The ablations of MCSC's tables A1 and A2."""

ABLATIONS = {"simcvd": _SIMCVD, "mcsc": _MCSC}
NAMES = {"simcvd": "SimCVD", "mcsc": "MCSC"}
CONFIGS: dict[str, type[RivalConfig]] = {
    "cps": CpsConfig,
    "simcvd": SimCVDConfig,
    "mcsc": McscConfig,
    "dico": DicoConfig,
}
VARIANTS = {f"{name}_{key}": name for name, all_of in ABLATIONS.items() for key in all_of}
"""Arm of an ablation -> the rival that it is one of."""

ARMS: dict[str, Callable[[Settings], RivalConfig | None]] = {
    **{name: rival(config) for name, config in CONFIGS.items()},
    "vnet": lambda s: None,
    "simcvd_vnet": lambda s: None,
    **{arm: rival(CONFIGS[name]) for arm, name in VARIANTS.items()},
}
FIXED: dict[str, dict[str, object]] = {
    f"{name}_{key}": {f"rivals.{name}.{field}": value for field, value in changes.items()}
    for name, all_of in ABLATIONS.items()
    for key, (_, changes) in all_of.items()
}
TITLES = {
    "cps": "Cross pseudo supervision",
    "simcvd": "SimCVD",
    "vnet": "V-Net",
    "simcvd_vnet": "SimCVD, V-Net",
    "mcsc": "MCSC",
    "dico": "DiCo, without its multi-view module",
    **{
        f"{name}_{key}": f"{NAMES[name]}, {title}"
        for name, all_of in ABLATIONS.items()
        for key, (title, _) in all_of.items()
    },
}


def _arms_of(rival: str) -> tuple[str, ...]:
    return tuple(arm for arm in ARMS if arm.split("_")[0] == rival)


TABLES: dict[str, tuple[str, ...]] = {
    "rivals": ("light_unet", "mt", "uamt", "me", "cps", "simcvd", "mcsc", "dico", "vpbsd"),
    "simcvd": ("light_unet", "vnet", *_arms_of("simcvd")),
    "mcsc": ("light_unet", *_arms_of("mcsc")),
}
HEADINGS = {
    "rivals": "Other semi-supervised systems",
    **{name: f"Ablation of {NAMES[name]}" for name in ABLATIONS},
}
