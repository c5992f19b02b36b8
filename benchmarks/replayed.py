"""The command `duplexgen` with the voice engine that costs nothing: python -m benchmarks.replayed build RECIPE"""

from benchmarks.replay import register
from duplexgen import cli

if __name__ == "__main__":
    register()
    cli.main()
