"""The command, for `python -m duplexgen` and `accelerate launch -m duplexgen`."""

import os  # both are loaded when Python starts, and so no files of the user's
import sys


def _is_working_folder(path: str) -> bool:
    try:
        return path in ("", os.getcwd())  # noqa: PTH109
    except OSError:  # it was removed
        return False


if __name__ == "__main__":
    # After -m Python searches the working folder first: a `random.py` of the user's there would be taken for Python's.
    if not sys.flags.safe_path and sys.path and _is_working_folder(sys.path[0]):
        del sys.path[0]
    from duplexgen.cli import main

    main()
