"""The one exception a user may see: one clear line that names the thing and the remedy."""


class BadInput(ValueError):
    """Something the user gave cannot be used; the message is one line and says what to do.

    Command lines print it as ``error: ...`` and exit with code 2, before time or a GPU is spent.
    """
