# SPDX-License-Identifier: EUPL-1.2
"""The faces of the city that standards define: codec, routes and errors of each."""
