"""Messages from the process of a round to the build that started it, and the environment of new Python processes."""

from collections.abc import Callable

WARNING, ERROR, LOST, THROUGH = "warning", "error", "lost", "through"
Say = Callable[[str, str], None]  # the kind of message, which is one of these words, and its text

SAFE_PATH = {"PYTHONSAFEPATH": "1"}  # Python then imports nothing from the working folder
