"""duplexgen: text dialogues in, full-duplex speech training data out."""

__version__ = "0.1.0"
