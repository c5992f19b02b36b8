"""The data card of preference pairs."""

from pathlib import Path
from typing import Any

from ..dataset.card import dialogues_front_matter, write_card
from ..dataset.schema import SIDES
from ..dataset.statistics import Statistics
from ..escapes import Markdown, paragraphs
from ..layouts.layouts import LAYOUTS
from ..scenarios.scenarios import SCENARIOS
from .pair import FALSE_STOP, TAKE_OVER

LATE = {
    "starts": """On the rejected side, one reply starts later after the user's end. Both sides end after the late
reply, before anything of the next one. Where the dialogue is over by then, both sides are filled up with its own
silence.""",
    "stops": """On the rejected side, one reply that the user interrupts goes on for longer after the barge-in, and so
does its text, at most until the reply ends by itself. The answer to the interrupting turn comes after the late stop: if
it would start too early for that, it moves. Both sides end after the rejected side's answer, or before the user's next
turn if that starts earlier, but not before the late stop.""",
}
EARLY = {
    FALSE_STOP: """On the rejected side, one reply stops soon after the start of an aside, such as a backchannel; on
the chosen side, it goes on. Both sides end with the chosen reply.""",
    TAKE_OVER: """On the rejected side, one reply starts in a pause within the user's turn; on the chosen side, after
the turn. Both sides end with the chosen reply.""",
}
VERBATIM = "All codes are from the data set, some of them moved by whole frames: no audio was tokenized again."
RETOKENIZED = "The late reply's audio was moved by whole frames, and the assistant's channel was tokenized again."


def write(folder: Path, about: dict[str, Any], statistics: Statistics) -> list[str]:
    """Write the card and its plots; returns their paths, relative to `folder`.

    about: the manifest, all but its files.
    """
    recipe, source = about["recipe"], about["source"]
    built = source["recipe"]
    columns = LAYOUTS[built["layout"]["name"]].COLUMNS
    lateness = SCENARIOS[built["timing"]["scenario"]].LATENESS if "late" in recipe["mistakes"] else ()
    early = (name for name in EARLY if name in recipe["mistakes"])
    words = {
        "description": paragraphs(recipe["description"]),
        "scenario": built["timing"]["scenario"].replace("_", "-"),
        "source": built["name"],
        "source_key": source["key"],
        "source_sha256": source["manifest_sha256"],
        "what": Markdown("\n".join([*(LATE[how] for how in lateness), *(EARLY[name] for name in early)])),
        "moved": Markdown(RETOKENIZED if recipe["retokenize"] else VERBATIM),
        "layout": built["layout"]["name"],
        "columns": Markdown(", ".join(f"`{side}_{field.name}`" for side in SIDES for field in columns)),
    }
    front_matter = dialogues_front_matter(built) | {
        "tags": ["preference", "dpo", "full-duplex", "spoken-dialogue", "duplexgen", built["timing"]["scenario"]]
    }
    return write_card(folder, "pairs.md", front_matter, words, about, statistics)
