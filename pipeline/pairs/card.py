"""The data card of preference pairs."""

from pathlib import Path
from typing import Any

from ..dataset.card import dialogues_front_matter, write_card
from ..dataset.statistics import Statistics
from ..escapes import Markdown, paragraphs

STARTS_LATE = """In one reply (`turn`), the rejected side starts later after the user's end. Both sides end with the
block in which the rejected side's reply ends, before anything of the next reply; where the dialogue is over by then,
both go on with frames of its own silence."""
TALKS_ON = """In one reply that the user interrupts (`turn`), the rejected side talks on for longer after the barge-in,
its text going on with it, until the reply ends by itself, the next one starts or the data set keeps no more of it
(`timing.longest_negative_delay_s` of its recipe) at the latest. The chosen side is the
row of the data set as it is."""
VERBATIM = "The reply's codes are those of the data set, moved by whole text slots or uncovered: none was made anew."
RETOKENIZED = "The reply's audio was moved by whole text slots, and the assistant's channel tokenized anew."


def write(folder: Path, about: dict[str, Any], statistics: Statistics) -> list[str]:
    """Write the card and its plots; returns their paths, relative to `folder`.

    about: the manifest, all but its files.
    """
    recipe, source = about["recipe"], about["source"]
    built = source["recipe"]
    interruption = built["timing"]["scenario"] == "interruption"
    says = {
        "description": paragraphs(recipe["description"]),
        "scenario": built["timing"]["scenario"].replace("_", "-"),
        "source": built["name"],
        "source_key": source["key"],
        "source_sha256": source["manifest_sha256"],
        "what": Markdown(TALKS_ON if interruption else STARTS_LATE),
        "moved": Markdown(RETOKENIZED if recipe["retokenize"] else VERBATIM),
        "user_tokens": built["layout"]["user_tokens"],
        "text_tokens": built["layout"]["text_tokens"],
    }
    front_matter = dialogues_front_matter(built) | {
        "tags": ["preference", "dpo", "full-duplex", "spoken-dialogue", "duplexgen", built["timing"]["scenario"]]
    }
    return write_card(folder, "pairs.md", front_matter, says, about, statistics)
