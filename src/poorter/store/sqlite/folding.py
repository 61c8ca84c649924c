# SPDX-License-Identifier: EUPL-1.2
"""The child that folds: `python -m poorter.store.sqlite.folding DATABASE FOLDER`."""

import sys
from pathlib import Path

from poorter.store.sqlite.connect import connect
from poorter.store.tables.folding import serve

if __name__ == "__main__":
    serve(connect(Path(sys.argv[1]), write=False), sys.argv[2])
