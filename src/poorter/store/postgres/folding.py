# SPDX-License-Identifier: EUPL-1.2
"""The child that folds: `python -m poorter.store.postgres.folding URL FOLDER`."""

import sys

from poorter.store.postgres.connection import Connection
from poorter.store.postgres.store import as_reader
from poorter.store.tables.folding import serve

if __name__ == "__main__":
    serve(Connection(sys.argv[1], write=False, opened=as_reader), sys.argv[2])
