"""The command, for `python -m duplexgen` and `accelerate launch -m duplexgen`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # After -m Python searches the working folder first: a `random.py` of the user's there would be taken for Python's.
    if not sys.flags.safe_path and sys.path and Path(sys.path[0]) == Path.cwd():
        del sys.path[0]
    from duplexgen.cli import main

    main()
