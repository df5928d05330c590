"""The phantom's anatomy: a mesh of capillaries, the trees that feed it, and their centrelines.

The order is that of the functions' calls: `grow`, `trace`, `inflate`.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra, minimum_spanning_tree
from scipy.spatial import Delaunay, KDTree

from vpbsd.data.phantom_style import SPACING_UM, Floats, Ints, Shape, Style


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


def inflate(segments: Segments, shape: Shape, style: Style) -> Segments:
    """Turns radii in capillaries into micrometres: vessels then fill their share of the volume."""
    extent = np.multiply(shape, SPACING_UM)
    middle = segments.ends.mean(1)
    inside = ((middle > 0) & (middle < extent)).all(1)
    length = np.linalg.norm(segments.ends[:, 1] - segments.ends[:, 0], axis=1)
    filled = np.pi * (segments.radius.mean(1) ** 2 * length)[inside].sum()
    capillary = np.sqrt(style.share * extent.prod() / max(filled, 1.0))
    return segments._replace(radius=segments.radius * np.clip(capillary, *style.capillary_um))


def _scatter(rng: np.random.Generator, shape: Shape, mesh_um: float) -> Floats:
    """Draws one point in every cell of a grid that covers the volume and a border around it."""
    cells = np.ceil(np.multiply(shape, SPACING_UM) / mesh_um).astype(int) + 2
    corner = (np.multiply(shape, SPACING_UM) - cells * mesh_um) / 2
    grid = np.moveaxis(np.indices(cells.tolist()), 0, -1).reshape(-1, 3)
    points: Floats = corner + mesh_um * (grid + 0.15 + 0.7 * rng.random(grid.shape))
    return points


def _mesh(nodes: Floats) -> coo_array:
    """Joins every point to its two nearest, and all of them by the shortest tree of vessels."""
    corners = Delaunay(nodes).simplices
    pairs = np.concatenate([corners[:, [a, b]] for a in range(4) for b in range(a)])
    tree = minimum_spanning_tree(_weighted(nodes, pairs)).tocoo()
    near: Ints = np.asarray(KDTree(nodes).query(nodes, k=3)[1])
    pairs = np.concatenate([near[:, [0, 1]], near[:, [0, 2]], np.stack(tree.coords, 1)])
    return _weighted(nodes, pairs)


def _weighted(nodes: Floats, pairs: Ints) -> coo_array:
    pairs = np.unique(np.sort(pairs, 1), axis=0)
    length = np.linalg.norm(nodes[pairs[:, 0]] - nodes[pairs[:, 1]], axis=1)
    return coo_array((length, tuple(pairs.T)), shape=(len(nodes), len(nodes)))


def _roots(rng: np.random.Generator, nodes: Floats, count: int) -> Ints:
    """Chooses the branch points where trees enter: the outermost along random directions."""
    away = nodes - nodes.mean(0)
    directions = rng.standard_normal((count, 3))
    return np.unique((away @ directions.T).argmax(0))


def _fed(distance: Floats, parent: Ints) -> Floats:
    """Counts the branch points that each one feeds, itself included."""
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
    """Finds the child that feeds most, or -1 at a tip."""
    main = np.full(len(parent), -1)
    for child in np.argsort(fed, kind="stable"):
        if parent[child] >= 0:
            main[parent[child]] = child
    return main


def _loops(mesh: coo_array, parent: Ints) -> Ints:
    """Lists the vessels of the mesh that belong to no tree."""
    a, b = mesh.coords
    loose = (parent[a] != b) & (parent[b] != a)
    return np.stack([a[loose], b[loose]], 1).astype(np.intp)


def _paths(rng: np.random.Generator, network: Network, edges: Ints, wobble: float) -> Floats:
    """Bends centrelines (edge, 9 points, 3): cubic curves (Hermite) with two random sine waves."""
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
    """Computes the unit direction in which the main vessel passes each branch point."""
    before = np.where(network.parent >= 0, network.parent, np.arange(len(network.parent)))
    after = np.where(network.main >= 0, network.main, np.arange(len(network.main)))
    course = network.nodes[after] - network.nodes[before]
    unit: Floats = course / np.maximum(np.linalg.norm(course, axis=1, keepdims=True), 1e-9)
    return unit


def _stain(rng: np.random.Generator, network: Network, style: Style) -> Floats:
    """Draws the brightness at every branch point: log-normal, some points poorly stained."""
    stain = np.exp(style.staining * rng.standard_normal(len(network.nodes)))
    return np.where(rng.random(len(stain)) < style.faint, 0.35 * stain, stain)


def _split(ends: Floats, pieces: int) -> Floats:
    """Interpolates values at the ends of vessels to the ends of their pieces, linearly."""
    t = np.linspace(0, 1, pieces + 1)
    values = ends[:, :1] * (1 - t) + ends[:, 1:] * t
    return np.stack([values[:, :-1], values[:, 1:]], 2).reshape(-1, 2)
