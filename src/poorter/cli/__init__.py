# SPDX-License-Identifier: EUPL-1.2
"""The command line. `poorter VERB --help` explains each verb."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from poorter.city.errors import CityError
from poorter.cli.parser import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Errors of the city are one line on stderr and exit code 1."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except CityError as wrong:
        print(f"poorter: {wrong.detail}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code
