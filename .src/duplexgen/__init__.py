"""Full-duplex speech training data from text dialogues: one recipe, one command.

    import duplexgen

    dataset = duplexgen.build("turn_taking")  # or duplexgen.open("out/turn_taking")
    for event in dataset[0].events:
        print(event.start_s, event.channel, event.spoken_text)

The functions and classes are those of `duplexgen.api`, whose help says more.
"""

from duplexgen.pipeline import __version__

TYPE_CHECKING = False  # and not that of `typing`: `python -m` searches the working folder until __main__ runs
if TYPE_CHECKING:
    from duplexgen.api import (
        Audio,
        DataSet,
        Event,
        Row,
        UserError,
        build,
        collate,
        dpo_pairs,
        evaluate,
        export,
        open,
        train_dpo,
        train_sft,
        verify,
    )

__all__ = [
    "Audio",
    "DataSet",
    "Event",
    "Row",
    "UserError",
    "__version__",
    "build",
    "collate",
    "dpo_pairs",
    "evaluate",
    "export",
    "open",
    "train_dpo",
    "train_sft",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'duplexgen' has no attribute {name!r}")
    from duplexgen import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
