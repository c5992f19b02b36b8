"""What the process of a round says to the one that started it, and the environment that both give to a Python."""

from collections.abc import Callable

WARNING, ERROR, LOST, THROUGH = "warning", "error", "lost", "through"
Say = Callable[[str, str], None]  # one of these words, and a text

SAFE_PATH = {"PYTHONSAFEPATH": "1"}  # for a Python that starts: nothing is imported from the working folder
