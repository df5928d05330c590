"""The phantom's image: vessels drawn into voxels, and the microscope that looks at them."""

import numpy as np
from numpy.typing import NDArray
from scipy.fft import idctn
from scipy.ndimage import gaussian_filter

from vpbsd.data.phantom_style import SPACING_UM, Floats, Ints, Shape, Style
from vpbsd.data.phantom_vessels import Segments

_TEXTURE = {3.0: 0.3, 9.0: 0.3, 24.0: 0.9}  # scale in micrometres: weight; squares sum to about 1


def render(segments: Segments, shape: Shape) -> Floats:
    """Draws the pieces as tapering capsules; returns their brightness, 0 outside all vessels.

    A voxel belongs to a vessel if its centre lies within the radius of the centreline.
    """
    glow = np.zeros(shape)
    reach = segments.radius.max(1)[:, None]
    low = np.ceil((segments.ends.min(1) - reach) / SPACING_UM).astype(int).clip(0)
    high = np.floor((segments.ends.max(1) + reach) / SPACING_UM).astype(int) + 1
    high = np.minimum(high, shape)
    for k in np.flatnonzero((low < high).all(1)).tolist():
        box = tuple(slice(a, b) for a, b in zip(low[k], high[k], strict=True))
        np.maximum(glow[box], _capsule(segments, k, low[k], high[k]), out=glow[box])
    return glow


def _capsule(segments: Segments, k: int, low: Ints, high: Ints) -> Floats:
    """Draws the brightness of piece ``k`` in the box of voxels from ``low`` up to ``high``."""
    start, end = segments.ends[k]
    z, y, x = (
        (np.arange(a, b) * s - o).reshape([-1 if i == j else 1 for j in range(3)])
        for i, (a, b, s, o) in enumerate(zip(low, high, SPACING_UM, start, strict=True))
    )
    d = end - start
    along = ((z * d[0] + y * d[1] + x * d[2]) / (d @ d)).clip(0, 1)
    depth2 = (z - along * d[0]) ** 2 + (y - along * d[1]) ** 2 + (x - along * d[2]) ** 2
    r0, r1 = segments.radius[k]
    b0, b1 = segments.brightness[k]
    depth2 /= (r0 + along * (r1 - r0)) ** 2
    inside = np.where(depth2 < 0.4, segments.lumen[k], 1.0)
    return np.where(depth2 <= 1, (b0 + along * (b1 - b0)) * inside, 0.0)


def expose(rng: np.random.Generator, glow: Floats, style: Style) -> NDArray[np.uint16]:
    """Takes the picture: staining, tissue, blur, illumination, photon and camera noise.

    Args:
        rng: Of the optics.
        glow: Brightness of vessels (z, y, x), relative; 0 outside them.
        style: The animal and its microscope.
    """
    shape = glow.shape
    stained = glow * np.exp(style.staining * _field(rng, shape, (30, 30, 30)))
    texture = sum(w * _field(rng, shape, (s, s, s)) for s, w in _TEXTURE.items())
    light = style.tissue * np.exp(style.texture * texture)
    light += style.signal * (stained + _cells(rng, shape, style.cells))
    light = _blur(light, style.blur_um * np.array([1.6, 1, 1]))
    light += style.signal * style.haze * _blur(stained, np.array([15, 10, 10]))
    light *= np.exp(style.shading * _field(rng, shape, (60, 40, 40)))
    light *= np.exp(style.stripes * _field(rng, shape, (4, 2, 120)))
    light *= _reaching(shape[0], style.attenuation)
    photons = rng.poisson(light) + style.read_noise * rng.standard_normal(shape)
    return np.rint(600 + 4 * photons).clip(0, 65535).astype(np.uint16)


def _reaching(depth: int, attenuation: float) -> Floats:
    """Computes the share of the light of each slice that reaches the camera: (depth, 1, 1)."""
    return np.exp(-attenuation * np.arange(depth) / depth).reshape(-1, 1, 1)


def _field(rng: np.random.Generator, shape: Shape, scale_um: tuple[float, ...]) -> Floats:
    """Draws smooth Gaussian noise of mean 0 and variance 1: white noise, damped in the DCT."""
    waves = rng.standard_normal(shape)
    for axis, (n, step, scale) in enumerate(zip(shape, SPACING_UM, scale_um, strict=True)):
        frequency = np.pi * np.arange(n) / (n * step)
        damp = np.exp(-0.5 * (frequency * scale) ** 2)
        waves *= damp.reshape([-1 if axis == k else 1 for k in range(3)])
    waves[0, 0, 0] = 0
    field = idctn(waves, norm="ortho")
    clipped: Floats = (field / field.std()).clip(-2, 2)
    return clipped


def _cells(rng: np.random.Generator, shape: Shape, density: float) -> Floats:
    """Draws soft bright bodies of three sizes."""
    bodies = np.zeros(shape)
    volume = np.prod(np.multiply(shape, SPACING_UM)) / 1e6
    for size in (3.0, 4.5, 6.5):
        sources = np.zeros(shape)
        count = rng.poisson(density * volume / 3)
        where = tuple(rng.integers(0, n, count) for n in shape)
        sources[where] = rng.uniform(0.3, 1.0, count)
        peak = (2 * np.pi) ** 1.5 * size**3 / np.prod(SPACING_UM)
        bodies += peak * _blur(sources, np.full(3, size))
    return bodies


def _blur(image: Floats, sigma_um: Floats) -> Floats:
    return np.asarray(gaussian_filter(image, sigma_um / SPACING_UM, mode="reflect", truncate=3))
