"""The data card of preference pairs."""

from pathlib import Path
from typing import Any

from ..dataset.card import dialogues_front_matter, write_card
from ..dataset.schema import SIDES
from ..dataset.statistics import Statistics
from ..escapes import Markdown, paragraphs
from ..layouts.layouts import LAYOUTS
from ..scenarios.scenarios import SCENARIOS

LATE = {
    "starts": """In one reply, the rejected side starts later after the user's end. Both sides end after the late
reply, before anything of the next one; where the dialogue is over by then, both go on with silence of their own.""",
    "stops": """In one reply that the user interrupts, the rejected side talks on for longer after the barge-in, its
text going on with it, until the reply ends by itself at the latest. Its answer to the interrupting turn comes when it
has stopped: where that is later than on the chosen side, the answer moves. Both sides end after the rejected side's
answer, or before the user's next turn if that starts earlier, though not before the late stop.""",
}
VERBATIM = "Codes are those of the data set, moved by whole frames or uncovered: none was made anew."
RETOKENIZED = "The late reply's audio was moved by whole frames, and the assistant's channel tokenized anew."


def write(folder: Path, about: dict[str, Any], statistics: Statistics) -> list[str]:
    """Write the card and its plots; returns their paths, relative to `folder`.

    about: the manifest, all but its files.
    """
    recipe, source = about["recipe"], about["source"]
    built = source["recipe"]
    columns = LAYOUTS[built["layout"]["name"]].COLUMNS
    lateness = SCENARIOS[built["timing"]["scenario"]].LATENESS
    says = {
        "description": paragraphs(recipe["description"]),
        "scenario": built["timing"]["scenario"].replace("_", "-"),
        "source": built["name"],
        "source_key": source["key"],
        "source_sha256": source["manifest_sha256"],
        "what": Markdown("\n".join(LATE[how] for how in lateness)),
        "moved": Markdown(RETOKENIZED if recipe["retokenize"] else VERBATIM),
        "layout": built["layout"]["name"],
        "columns": Markdown(", ".join(f"`{side}_{field.name}`" for side in SIDES for field in columns)),
    }
    front_matter = dialogues_front_matter(built) | {
        "tags": ["preference", "dpo", "full-duplex", "spoken-dialogue", "duplexgen", built["timing"]["scenario"]]
    }
    return write_card(folder, "pairs.md", front_matter, says, about, statistics)
