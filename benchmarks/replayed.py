"""The command `duplexgen` with the voice engine that costs nothing: python -m benchmarks.replayed build RECIPE"""

import cli
from benchmarks.replay import register

if __name__ == "__main__":
    register()
    cli.main()
