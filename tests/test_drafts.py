"""What is written under another name appears whole or not at all."""

import numpy as np
import pytest

from vpbsd.drafts import draft_of


def test_a_file_appears_when_all_of_it_is_written(tmp_path):
    path = tmp_path / "numbers.npz"
    path.write_bytes(b"old")
    with draft_of(path) as draft:
        np.savez(draft, x=np.arange(3))  # would add an ending that is not there
        assert path.read_bytes() == b"old"
    assert np.load(path)["x"].tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


def write_half(path):
    with draft_of(path) as draft:
        draft.write_text("half")
        raise KeyboardInterrupt


def test_what_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "text"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
