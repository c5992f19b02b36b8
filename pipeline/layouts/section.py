"""What a recipe says of the layout, whichever it is; each layout adds its own keys."""

from collections.abc import Mapping
from typing import ClassVar

from ..dialogue import CHANNELS, Role
from ..recipe.sections import Section


class LayoutSection(Section):
    name: str

    PART: ClassVar[str | None] = "name"
    TRAINED_TOGETHER: ClassVar[frozenset[str]] = frozenset()
    """Keys in which data sets may differ that one model is trained on together: ids mean the same in all of them."""

    @property
    def columns_in_words(self) -> str:
        """What the layout's columns hold, in Markdown, for the data card."""
        return f"the columns of the layout `{self.name}`."

    def remark(self, means: Mapping[str, float]) -> str:
        """What a data card says of the figures that the layout measures, in Markdown. means: of each, by name."""
        return ""

    @property
    def block_frames(self) -> int:
        """Frames that a live model hears and answers at once."""
        return 1

    @property
    def channels(self) -> frozenset[Role]:
        """Those on which somebody has to speak."""
        return frozenset(CHANNELS)

    @property
    def text_lead_frames(self) -> int | None:
        """Frames before its speech in which the text of a reply starts, after the turn that it answers; None: any."""
        return None

    @property
    def writes_transcripts(self) -> bool:
        """Whether a turn of the user's is written down before the reply."""
        return False

    @property
    def margin_frames(self) -> int:
        """Silence that a row may take from behind the track, at most."""
        return 0
