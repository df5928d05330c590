"""Small heads that training needs and the deployed student does not."""

from torch import nn


class Regressor(nn.Conv3d):
    """Maps the student's feature into the teacher's width, voxel by voxel, for FitNets and L_mid.

    No norm and no ReLU follow: the teacher's Swin states are layer-normed and signed.
    Reference: Romero et al. 2015, FitNets; as a 1x1x1 convolution in VpbSD, section 3.4.
    """

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__(student_channels, teacher_channels, kernel_size=1)
