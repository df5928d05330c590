"""Settings of every method and of its variants, with small networks, by the name of an arm."""

from tests import small
from vpbsd.config import LightNet, VNet
from vpbsd.methods.configs import (
    EntropyConfig,
    MeanTeacherConfig,
    PatternsConfig,
    SupervisedConfig,
    UncertainTeacherConfig,
)
from vpbsd.methods.distilling_configs import (
    AbConfig,
    FitNetsConfig,
    HintsConfig,
    KdConfig,
    Vid,
    VidConfig,
    VpbSDConfig,
)
from vpbsd.methods.pretraining_configs import (
    ChaitanyaConfig,
    ComparativeConfig,
    ContrastiveConfig,
    S2dcConfig,
)
from vpbsd.methods.rival_configs import (
    CpsConfig,
    DicoConfig,
    Mcsc,
    McscConfig,
    SimCVD,
    SimCVDConfig,
)
from vpbsd.pipeline.teachers import FROZEN_IN_FINE_TUNING

TRANSFORMER = small.NETWORK.model_copy(update={"codebook": None})
METHODS = {
    "patterns": PatternsConfig(network=small.NETWORK, skip_drop=0.2),
    "patterns_at_half": PatternsConfig(network=small.NETWORK, skip_drop=0.2, rebuilt_at=2),
    "light_unet": SupervisedConfig(network=LightNet()),
    "teacher": SupervisedConfig(network=small.NETWORK, frozen=FROZEN_IN_FINE_TUNING),
    "vpbsd": VpbSDConfig(ramp_epochs=1),
    "vpbsd_wo_semi": VpbSDConfig(beta=0, distil_on="labelled"),
    "baseline_mid": FitNetsConfig(teacher_width=192),
    "baseline_mid_semi": FitNetsConfig(teacher_width=192, beta=0.5, distil_on="both"),
    "unetr": SupervisedConfig(network=small.UNETR),
    "teacher_no_pretrain": SupervisedConfig(
        network=small.NETWORK.model_copy(update={"decode_codes": False}),
        frozen=FROZEN_IN_FINE_TUNING,
        starts_codebook=True,
    ),
    "vpbsd_soft_pseudo": VpbSDConfig(ramp_epochs=1, pseudo="soft", gamma=0),
    "vpbsd_cldice": VpbSDConfig(beta=0, gamma=0, cldice=0.5, cldice_iterations=2),
    "mt": MeanTeacherConfig(),
    "uamt": UncertainTeacherConfig(ramp_share=0.5, passes=2),
    "me": EntropyConfig(),
    "kd": KdConfig(distil_on="both"),
    "vid": VidConfig(teacher_width=192, vid=Vid(hidden=8)),
    "hints": HintsConfig(teacher_width=192),
    "ab": AbConfig(teacher_width=192),
    "cps": CpsConfig(),
    "simcvd": SimCVDConfig(simcvd=SimCVD(pool=8)),
    "simcvd_wo_sdm": SimCVDConfig(simcvd=SimCVD(pool=8, sdm=False)),
    "simcvd_wo_contrast": SimCVDConfig(simcvd=SimCVD(contrast=0)),
    "simcvd_wo_pairwise": SimCVDConfig(simcvd=SimCVD(pool=8, pairwise=0, pooling="max")),
    "simcvd_wo_consistency": SimCVDConfig(simcvd=SimCVD(pool=8, consistency=0)),
    "simcvd_inpainting": SimCVDConfig(simcvd=SimCVD(pool=8, views="inpainting")),
    "mcsc": McscConfig(transformer=TRANSFORMER, mcsc=Mcsc(voxels=64, groups=2)),
    "mcsc_wo_contrast": McscConfig(transformer=TRANSFORMER, mcsc=Mcsc(contrast=0)),
    "mcsc_all": McscConfig(
        transformer=TRANSFORMER,
        mcsc=Mcsc(voxels=64, anchors="all", labels="own", balanced=False, scales=(4,)),
    ),
    "dico": DicoConfig(transformer=TRANSFORMER),
    "simcvd_vnet": SimCVDConfig(network=VNet(), simcvd=SimCVD(pool=8)),
    "s2dc": S2dcConfig(network=small.PLAIN, hidden=8, width=6, keys=9),
    "s2dc_code": S2dcConfig(
        network=small.PLAIN, hidden=8, width=6, form="code", matcher="sinkhorn", global_weight=0
    ),
    "comparative": ComparativeConfig(network=small.PLAIN),
    "comparative_unetr": ComparativeConfig(network=small.UNETR),
    "contrastive": ContrastiveConfig(network=small.UNETR, partitions=2),
    "chaitanya": ChaitanyaConfig(network=small.PLAIN, patch=small.PATCH, hidden=8, width=4),
}
