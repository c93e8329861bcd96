"""Start the stand-in: `python -I tools/offline/command_provider ENGINE_ADDRESS`."""

import sys
from pathlib import Path

# Python puts this directory on its path, not the one above the package.
sys.path[0] = str(Path(__file__).resolve().parents[3])

from tools.offline.command_provider.service import main  # noqa: E402

main(sys.argv[1:])
