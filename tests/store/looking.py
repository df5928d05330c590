"""A look into a store by another way than its own."""

import fsspec


def below(store, part=""):
    """Names of all files below a part of the store, by another way than the store's own."""
    files, root = fsspec.core.url_to_fs(f"{store.url}/{part}".rstrip("/"))
    return sorted(path[len(root) + 1 :] for path in files.find(root))


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
