# SPDX-License-Identifier: EUPL-1.2
"""Two models over the same rows: boosted trees (the extra "parking"), and a ridge without it.

Both forecast how the count moves from now, in units of the place's size, with an absolute-error
view: trees by an L1 objective, the ridge by weights of rows (three rounds of reweighting).
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from poorter.city.errors import Unsupported
from poorter.forecast.features import Rows

Kind = Literal["boosted", "numpy"]
ROWS_MAX = 600_000
_PARAMETERS: dict[str, Any] = {
    "objective": "l1",
    "learning_rate": 0.06,
    "num_leaves": 95,
    "min_data_in_leaf": 120,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 2.0,
    "max_bin": 127,
    "verbosity": -1,
    "num_threads": 2,
    "deterministic": True,
    "seed": 1,
}
ROUNDS = 420
SPREAD_ROUNDS = 120


class Model(Protocol):
    """Gives the expected change and the size of its error, both in units of the place's size."""

    def predict(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(change, spread) for rows[n, feature]."""
        ...


def fit(kind: Kind, rows: Rows, change: NDArray[np.float64], names: list[str]) -> Model:
    """Train on rows[n, feature] and what then happened. Rows without an outcome must be left out.

    Raises: Unsupported for "boosted" without the extra, ValueError for too few rows.
    """
    if len(rows) < 100:
        raise ValueError(f"{len(rows)} rows are too few to learn from")
    if len(rows) > ROWS_MAX:
        chosen = np.random.default_rng(1).choice(len(rows), ROWS_MAX, replace=False)
        chosen.sort()
        rows, change = rows[chosen], change[chosen]
    return _Trees(rows, change, names) if kind == "boosted" else _Ridge(rows, change)


def available() -> Kind:
    """The best kind that is installed."""
    try:
        import lightgbm  # noqa: F401 - an extra, and heavy
    except (ImportError, OSError):  # OSError: the wheel is there, the system's OpenMP is not
        return "numpy"
    return "boosted"


class _Trees:
    def __init__(self, rows: Rows, change: NDArray[np.float64], names: list[str]) -> None:
        try:
            import lightgbm
        except (ImportError, OSError) as missing:
            raise Unsupported(
                f"boosted forecasts need the extra poorter[parking] and libgomp1: {missing}"
            ) from None
        category = [names.index("place")]
        data = lightgbm.Dataset(rows, change, categorical_feature=category, free_raw_data=False)
        self._middle = lightgbm.train(_PARAMETERS, data, ROUNDS)
        error = np.abs(change - self._middle.predict(rows))
        parameters = _PARAMETERS | {"objective": "quantile", "alpha": 0.8, "num_leaves": 31}
        errors = lightgbm.Dataset(rows, error, categorical_feature=category)
        self._spread = lightgbm.train(parameters, errors, SPREAD_ROUNDS)

    def predict(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(change, spread)."""
        spread = np.maximum(self._spread.predict(rows), 1e-4)
        return np.asarray(self._middle.predict(rows)), np.asarray(spread)


class _Ridge:
    """Linear in the filled rows, one slope for all places, reweighted towards absolute error."""

    def __init__(self, rows: Rows, change: NDArray[np.float64]) -> None:
        filled = np.nan_to_num(rows.astype(np.float64))
        self._mean, self._std = filled.mean(axis=0), filled.std(axis=0) + 1e-9
        x = self._standard(rows)
        weights = np.ones(len(x))
        self._slope: NDArray[np.float64] = np.zeros(x.shape[1])
        for _ in range(3):
            weighted = x * weights[:, None]
            power = weighted.T @ x + 10.0 * np.eye(x.shape[1])
            self._slope = np.asarray(np.linalg.solve(power, weighted.T @ change))
            weights = 1 / np.maximum(np.abs(change - x @ self._slope), 0.01)
        error = np.log(np.abs(change - x @ self._slope) + 1e-3)
        power = x.T @ x + 10.0 * np.eye(x.shape[1])
        self._error = np.linalg.solve(power, x.T @ error)

    def _standard(self, rows: Rows) -> NDArray[np.float64]:
        filled = (np.nan_to_num(rows.astype(np.float64)) - self._mean) / self._std
        return np.column_stack([np.clip(filled, -6, 6), np.ones(len(filled))])

    def predict(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(change, spread)."""
        x = self._standard(rows)
        return x @ self._slope, np.maximum(1.5 * np.exp(np.clip(x @ self._error, -9, 3)), 1e-4)
