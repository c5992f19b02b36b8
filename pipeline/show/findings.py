"""What `duplexgen doctor` finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    part: str
    is_well: bool
    says: str

    def __str__(self) -> str:
        return f"{'ok     ' if self.is_well else 'MISSING'}  {self.part:10} {self.says}"
