"""Phantoms: procedural vascular volumes with exact labels, the data set that needs no download.

One file from the branch points to the camera, so that one integer, `phantom_set.NUMERICS`,
answers for every voxel. The order is that of the functions' calls: grow, trace, inflate, render,
expose.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import idctn
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra, minimum_spanning_tree
from scipy.spatial import Delaunay, KDTree

from vpbsd.errors import BadInput

SPACING_UM = (3.0, 1.625, 1.625)
CAPILLARY_UM = (2.8, 5.2)  # radius of the thinnest vessels: 1.7 to 3.2 voxels in plane
LABELLED_GROUPS = 6
UNLABELLED_GROUPS = 8
DEFAULT_SEED = 32  # of 64 tried; a threshold reaches DSC .62 to .72 on each of its volumes

Floats = NDArray[np.float64]
Ints = NDArray[np.signedinteger[Any]]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Style:
    """How one animal looks: its vessels, its staining, and the microscope on that day.

    Lengths are in micrometres, brightness in photons per voxel, or relative where it says so.
    """

    mesh_um: float = 32.0  # mean distance of neighbouring branch points: the vessel density
    share: float = 0.116  # of the volume that vessels fill; it sets the radius of capillaries
    bed: float = 3.0  # branch points that one capillary feeds; more need a larger vessel
    trunk: float = 2.1  # radius that no vessel exceeds, in radii of a capillary
    trees: int = 3  # arteries and veins that feed the volume from its border
    tortuosity: float = 0.06  # wobble of a vessel, relative to its length
    staining: float = 0.17  # standard deviation of the log brightness along vessels
    faint: float = 0.05  # share of branch points that are poorly stained
    hollow: float = 0.4  # share of the trees whose large vessels are stained at the wall only
    signal: float = 250.0  # photons of a well stained vessel
    tissue: float = 60.0  # photons of the autofluorescence
    texture: float = 0.72  # standard deviation of the log brightness of the tissue
    cells: float = 13.0  # bright bodies that are no vessels, per 10^6 cubic micrometres
    haze: float = 0.25  # out-of-focus light around vessels, relative to signal
    blur_um: float = 1.6  # standard deviation of the point spread in plane; 1.6 times that in z
    shading: float = 0.17  # standard deviation of the log illumination
    stripes: float = 0.06  # the same of the shadows along the light sheet (x)
    read_noise: float = 58.0  # standard deviation of the camera's noise, in photons


class Network(NamedTuple):
    """Branch points and the vessels between them, each vessel from parent to child."""

    nodes: Floats  # (n, 3), micrometres
    radius: Floats  # (n,), in radii of a capillary
    tree: Ints  # (n,), the tree that feeds the branch point
    parent: Ints  # (n,), negative for a root
    main: Ints  # (n,), the child that feeds most; -1 at a tip
    loops: Ints  # (m, 2), capillaries that join branches and so close loops


class Segments(NamedTuple):
    """Straight pieces of vessels; every array has one row per piece and a column per end."""

    ends: Floats  # (s, 2, 3), micrometres
    radius: Floats  # (s, 2), in radii of a capillary, until they are inflated to micrometres
    brightness: Floats  # (s, 2), relative
    lumen: Floats  # (s,), brightness of the inside relative to the wall


@dataclass(frozen=True)
class PhantomVolume:
    """One volume of the default data set; ``label`` is None where the set has none."""

    name: str
    group: str
    image: NDArray[np.uint16]
    label: NDArray[np.uint8] | None


def phantom(
    seed: int, shape: Shape, style: Style | None = None
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Draws one volume: a vascular network, seen through a light-sheet microscope.

    Vessels and optics have their own random streams: the same seed under another microscope shows
    the same vessels.

    Returns:
        Image and label (1 in vessels, else 0), both (z, y, x) of ``shape``, spacing SPACING_UM.

    Raises:
        BadInput: an axis is shorter than 8 voxels.
    """
    if min(shape) < 8:
        raise BadInput(f"phantom of shape {shape}: every axis needs at least 8 voxels")
    style = style or Style()
    anatomy, optics = (np.random.Generator(np.random.PCG64(s)) for s in _streams(seed))
    network = grow(anatomy, shape, style)
    vessels = trace(anatomy, network, style)
    glow = render(_inflate(vessels, shape, style.share), shape)
    return expose(optics, glow, style), (glow > 0).astype(np.uint8)


def phantom_volumes(
    seed: int = DEFAULT_SEED,
    labelled_shape: Shape = (40, 96, 96),
    unlabelled_shape: Shape = (64, 96, 96),
) -> Iterator[PhantomVolume]:
    """Yields the default data set: one volume of each group, the labelled groups first."""
    for number in range(LABELLED_GROUPS + UNLABELLED_GROUPS):
        labelled = number < LABELLED_GROUPS
        image, label = phantom_of_group(
            seed, number, labelled_shape if labelled else unlabelled_shape
        )
        group = f"animal{number:02d}"
        yield PhantomVolume(f"phantom_{group}", group, image, label if labelled else None)


def phantom_of_group(
    seed: int, number: int, shape: Shape
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Draws the volume of one group of the data set ``seed``, always with its label."""
    rng = np.random.Generator(np.random.PCG64([seed, number]))
    return phantom(int(rng.integers(2**63)), shape, animal(rng))


def animal(rng: np.random.Generator) -> Style:
    """Draws the style of one animal: near the default one, and unlike any other."""
    style = Style()
    drawn = {name: getattr(style, name) * rng.uniform(*span) for name, span in _SPANS.items()}
    return replace(style, trees=int(rng.integers(2, 5)), **drawn)


_TEXTURE = {3.0: 0.3, 9.0: 0.3, 24.0: 0.9}  # scale in micrometres: weight; squares sum to about 1
_SPANS = {  # factors on the default; what moves the share of vessels moves little
    "mesh_um": (0.92, 1.08),
    "share": (0.88, 1.12),
    "trunk": (0.8, 1.2),
    "tortuosity": (0.7, 1.5),
    "staining": (0.8, 1.2),
    "faint": (0.5, 1.5),
    "hollow": (0.5, 1.5),
    "signal": (0.9, 1.15),
    "tissue": (0.9, 1.1),
    "texture": (0.9, 1.1),
    "cells": (0.5, 1.5),
    "haze": (0.6, 1.4),
    "blur_um": (0.88, 1.12),
    "shading": (0.85, 1.15),
    "stripes": (0.5, 1.5),
    "read_noise": (0.8, 1.2),
}


def grow(rng: np.random.Generator, shape: Shape, style: Style) -> Network:
    """Grows a connected capillary mesh fed by a few trees, and its radii by Murray's law.

    The trees are the shortest ways from roots on the border through the mesh. A vessel that
    feeds n branch points has a radius in proportion to n^(1/3), so that the cubes of the radii
    add up where it branches (Murray 1926), but for capillaries and the largest trunks.
    """
    nodes = _scatter(rng, shape, style.mesh_um)
    mesh = _mesh(nodes)
    roots = _roots(rng, nodes, style.trees)
    distance, parent, source = dijkstra(
        mesh, directed=False, indices=roots, return_predecessors=True, min_only=True
    )
    fed = _fed(distance, parent)
    radius = np.cbrt(np.maximum(fed / style.bed, 1))
    main = _main_child(parent, fed)
    nodes = _straighten(nodes, parent, main, fed)
    tree = np.searchsorted(roots, source)
    return Network(
        nodes, np.minimum(radius, style.trunk), tree, parent, main, _loops(mesh, parent)
    )


def trace(rng: np.random.Generator, network: Network, style: Style) -> Segments:
    """Bends every vessel, cuts it into straight pieces and stains it."""
    children = np.flatnonzero(network.parent >= 0)
    tree = np.stack([network.parent[children], children], 1)
    edges = np.concatenate([tree, network.loops])
    paths = _paths(rng, network, edges, style.tortuosity)
    radius = network.radius[edges]
    side = network.main[edges[:, 0]] != edges[:, 1]
    radius[side, 0] = radius[side, 1]
    radius[len(tree) :] = 1.0
    stain = _stain(rng, network, style)[edges] * np.sqrt(radius)
    empty = rng.random(network.tree.max() + 1) < style.hollow
    lumen = np.where(empty[network.tree[edges[:, 1]]] & (radius[:, 1] > 1.3), 0.25, 1.0)
    pieces = paths.shape[1] - 1
    return Segments(
        np.stack([paths[:, :-1], paths[:, 1:]], 2).reshape(-1, 2, 3),
        _split(radius, pieces),
        _split(stain, pieces),
        np.repeat(lumen, pieces),
    )


def _inflate(segments: Segments, shape: Shape, share: float) -> Segments:
    """Radii in capillaries -> micrometres, such that vessels fill a share of the volume."""
    extent = np.multiply(shape, SPACING_UM)
    middle = segments.ends.mean(1)
    inside = ((middle > 0) & (middle < extent)).all(1)
    length = np.linalg.norm(segments.ends[:, 1] - segments.ends[:, 0], axis=1)
    filled = np.pi * (segments.radius.mean(1) ** 2 * length)[inside].sum()
    capillary = np.sqrt(share * extent.prod() / max(filled, 1.0))
    return segments._replace(radius=segments.radius * np.clip(capillary, *CAPILLARY_UM))


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
    """Brightness of piece ``k`` in the box of voxels from ``low`` up to ``high``."""
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
    """Takes the picture: staining, tissue, blur, illumination, photon and camera noise."""
    shape = glow.shape
    stained = glow * np.exp(style.staining * _field(rng, shape, (30, 30, 30)))
    texture = sum(w * _field(rng, shape, (s, s, s)) for s, w in _TEXTURE.items())
    light = style.tissue * np.exp(style.texture * texture)
    light += style.signal * (stained + _cells(rng, shape, style.cells))
    light = _blur(light, style.blur_um * np.array([1.6, 1, 1]))
    light += style.signal * style.haze * _blur(stained, np.array([15, 10, 10]))
    light *= np.exp(style.shading * _field(rng, shape, (60, 40, 40)))
    light *= np.exp(style.stripes * _field(rng, shape, (4, 2, 120)))
    photons = rng.poisson(light) + style.read_noise * rng.standard_normal(shape)
    return np.rint(600 + 4 * photons).clip(0, 65535).astype(np.uint16)


def _streams(seed: int) -> list[np.random.SeedSequence]:
    return np.random.SeedSequence(seed).spawn(2)


def _scatter(rng: np.random.Generator, shape: Shape, mesh_um: float) -> Floats:
    """One point in every cell of a grid that covers the volume and a border around it."""
    cells = np.ceil(np.multiply(shape, SPACING_UM) / mesh_um).astype(int) + 2
    corner = (np.multiply(shape, SPACING_UM) - cells * mesh_um) / 2
    grid = np.moveaxis(np.indices(cells.tolist()), 0, -1).reshape(-1, 3)
    points: Floats = corner + mesh_um * (grid + 0.15 + 0.7 * rng.random(grid.shape))
    return points


def _mesh(nodes: Floats) -> "coo_array":
    """Joins every point to its two nearest, and all of them by the shortest tree of vessels."""
    corners = Delaunay(nodes).simplices
    pairs = np.concatenate([corners[:, [a, b]] for a in range(4) for b in range(a)])
    tree = minimum_spanning_tree(_weighted(nodes, pairs)).tocoo()
    near: Ints = np.asarray(KDTree(nodes).query(nodes, k=3)[1])
    pairs = np.concatenate([near[:, [0, 1]], near[:, [0, 2]], np.stack(tree.coords, 1)])
    return _weighted(nodes, pairs)


def _weighted(nodes: Floats, pairs: Ints) -> "coo_array":
    pairs = np.unique(np.sort(pairs, 1), axis=0)
    length = np.linalg.norm(nodes[pairs[:, 0]] - nodes[pairs[:, 1]], axis=1)
    return coo_array((length, tuple(pairs.T)), shape=(len(nodes), len(nodes)))


def _roots(rng: np.random.Generator, nodes: Floats, count: int) -> Ints:
    """Branch points where a tree enters: the outermost along random directions."""
    away = nodes - nodes.mean(0)
    directions = rng.standard_normal((count, 3))
    return np.unique((away @ directions.T).argmax(0))


def _fed(distance: Floats, parent: Ints) -> Floats:
    """Number of branch points that each one feeds, itself included."""
    fed = np.ones(len(parent))
    for child in np.argsort(-distance, kind="stable"):
        if parent[child] >= 0:
            fed[parent[child]] += fed[child]
    return fed


def _straighten(nodes: Floats, parent: Ints, main: Ints, fed: Floats) -> Floats:
    """Moves branch points of large vessels between their neighbours: these run straighter."""
    inner = np.flatnonzero((parent >= 0) & (main >= 0))
    pull = 0.8 * (1 - 0.7 / np.cbrt(fed[inner]))[:, None]
    nodes = nodes.copy()
    for _ in range(4):
        middle = (nodes[parent[inner]] + nodes[main[inner]]) / 2
        nodes[inner] += pull * (middle - nodes[inner])
    return nodes


def _main_child(parent: Ints, fed: Floats) -> Ints:
    """The child that feeds most, or -1 at a tip."""
    main = np.full(len(parent), -1)
    for child in np.argsort(fed, kind="stable"):
        if parent[child] >= 0:
            main[parent[child]] = child
    return main


def _loops(mesh: "coo_array", parent: Ints) -> Ints:
    """Vessels of the mesh that belong to no tree."""
    a, b = mesh.coords
    loose = (parent[a] != b) & (parent[b] != a)
    return np.stack([a[loose], b[loose]], 1).astype(np.intp)


def _paths(rng: np.random.Generator, network: Network, edges: Ints, wobble: float) -> Floats:
    """Centrelines as (edge, 9 points, 3): cubic curves (Hermite) with two random sine waves."""
    a, b = network.nodes[edges[:, 0]], network.nodes[edges[:, 1]]
    chord = b - a
    course = _course(network)
    follows = (network.main[edges[:, 0]] == edges[:, 1])[:, None]
    grows = (network.parent[edges[:, 1]] == edges[:, 0])[:, None]
    length = np.linalg.norm(chord, axis=1, keepdims=True)
    out = np.where(follows, length * course[edges[:, 0]] - chord, 0)
    into = np.where(grows, length * course[edges[:, 1]] - chord, 0)
    bend = wobble * length[:, None] * rng.standard_normal((len(edges), 2, 3))
    t = np.linspace(0, 1, 9)
    shapes = [
        1 - t,
        t,
        t * (1 - t) ** 2,
        -(t**2) * (1 - t),
        np.sin(np.pi * t),
        np.sin(2 * np.pi * t) / 3,
    ]
    curve: Floats = np.stack(shapes, 1) @ np.stack([a, b, out, into, bend[:, 0], bend[:, 1]], 1)
    return curve


def _course(network: Network) -> Floats:
    """Unit direction in which the main vessel passes each branch point."""
    before = np.where(network.parent >= 0, network.parent, np.arange(len(network.parent)))
    after = np.where(network.main >= 0, network.main, np.arange(len(network.main)))
    course = network.nodes[after] - network.nodes[before]
    unit: Floats = course / np.maximum(np.linalg.norm(course, axis=1, keepdims=True), 1e-9)
    return unit


def _stain(rng: np.random.Generator, network: Network, style: Style) -> Floats:
    """Brightness at every branch point: log-normal, some points poorly stained."""
    stain = np.exp(style.staining * rng.standard_normal(len(network.nodes)))
    return np.where(rng.random(len(stain)) < style.faint, 0.35 * stain, stain)


def _split(ends: Floats, pieces: int) -> Floats:
    """Values at the ends of vessels -> at the ends of their pieces, linear between."""
    t = np.linspace(0, 1, pieces + 1)
    values = ends[:, :1] * (1 - t) + ends[:, 1:] * t
    return np.stack([values[:, :-1], values[:, 1:]], 2).reshape(-1, 2)


def _field(rng: np.random.Generator, shape: Shape, scale_um: tuple[float, ...]) -> Floats:
    """Smooth Gaussian noise of zero mean and unit variance: white noise, damped in the DCT."""
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
    """Soft bright bodies of three sizes."""
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
