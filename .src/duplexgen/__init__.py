"""Full-duplex speech training data from text dialogues: one recipe, one command.

The folder beside this file's links is the package as it is installed: `duplexgen.pipeline`, `duplexgen.training`,
`duplexgen.cli`, and the recipes and cards that ship.
"""

from duplexgen.pipeline import __version__

__all__ = ["__version__"]
