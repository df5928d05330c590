"""The network of vessels in a mask: centre lines, branch points, segments, regions."""
