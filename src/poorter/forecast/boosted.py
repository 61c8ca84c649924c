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
ROWS_MIN = 500
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
    "num_threads": 1,  # two that wait for one another are slower than one on a busy machine
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

    def state(self) -> dict[str, Any]:
        """All of it as plain JSON data, for `restored`."""
        ...


def fit(kind: Kind, rows: Rows, change: NDArray[np.float64], names: list[str]) -> Model:
    """Train on rows[n, feature] and what then happened. Rows without an outcome must be left out.

    Raises: Unsupported for "boosted" without the extra, ValueError for too few rows.
    """
    if len(rows) < ROWS_MIN:
        raise ValueError(f"{len(rows)} rows are too few to learn from")
    if len(rows) > ROWS_MAX:
        chosen = np.random.default_rng(1).choice(len(rows), ROWS_MAX, replace=False)
        chosen.sort()
        rows, change = rows[chosen], change[chosen]
    return _Trees.fit(rows, change, names) if kind == "boosted" else _Ridge.fit(rows, change)


def restored(kind: Kind, state: dict[str, Any]) -> Model:
    """The model that `state` was taken of. Raises: Unsupported as `fit` does."""
    return _Trees.restored(state) if kind == "boosted" else _Ridge.restored(state)


def available() -> Kind:
    """The best kind that is installed."""
    try:
        import lightgbm  # noqa: F401 - an extra, and heavy
    except (ImportError, OSError):  # OSError: the wheel is there, the system's OpenMP is not
        return "numpy"
    return "boosted"


def _lightgbm() -> Any:
    try:
        import lightgbm
    except (ImportError, OSError) as missing:
        raise Unsupported(
            f"boosted forecasts need the extra poorter[parking] and libgomp1: {missing}"
        ) from None
    return lightgbm


class _Trees:
    def __init__(self, middle: Any, spread: Any) -> None:
        self._middle, self._spread = middle, spread

    @classmethod
    def fit(cls, rows: Rows, change: NDArray[np.float64], names: list[str]) -> _Trees:
        lightgbm = _lightgbm()
        category = [names.index("place")]
        data = lightgbm.Dataset(rows, change, categorical_feature=category, free_raw_data=False)
        middle = lightgbm.train(_PARAMETERS, data, ROUNDS)
        error = np.abs(change - middle.predict(rows))
        parameters = _PARAMETERS | {"objective": "quantile", "alpha": 0.8, "num_leaves": 31}
        errors = lightgbm.Dataset(rows, error, categorical_feature=category)
        return cls(middle, lightgbm.train(parameters, errors, SPREAD_ROUNDS))

    @classmethod
    def restored(cls, state: dict[str, Any]) -> _Trees:
        booster = _lightgbm().Booster
        return cls(booster(model_str=state["middle"]), booster(model_str=state["spread"]))

    def state(self) -> dict[str, Any]:
        """Both ensembles in LightGBM's own text."""
        middle, spread = self._middle.model_to_string(), self._spread.model_to_string()
        return {"middle": middle, "spread": spread}

    def predict(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(change, spread)."""
        spread = np.maximum(self._spread.predict(rows), 1e-4)
        return np.asarray(self._middle.predict(rows)), np.asarray(spread)


class _Ridge:
    """Linear in the filled rows, one slope for all places, reweighted towards absolute error."""

    def __init__(self, mean: NDArray[np.float64], std: NDArray[np.float64]) -> None:
        self._mean, self._std = mean, std
        self._slope: NDArray[np.float64] = np.zeros(len(mean) + 1)
        self._error: NDArray[np.float64] = np.zeros(len(mean) + 1)

    @classmethod
    def fit(cls, rows: Rows, change: NDArray[np.float64]) -> _Ridge:
        filled = np.nan_to_num(rows.astype(np.float64))
        model = cls(filled.mean(axis=0), filled.std(axis=0) + 1e-9)
        model._learn(model._standard(rows), change)
        return model

    def _learn(self, x: NDArray[np.float64], change: NDArray[np.float64]) -> None:
        weights = np.ones(len(x))
        for _ in range(3):
            weighted = x * weights[:, None]
            power = weighted.T @ x + 10.0 * np.eye(x.shape[1])
            self._slope = np.asarray(np.linalg.solve(power, weighted.T @ change))
            weights = 1 / np.maximum(np.abs(change - x @ self._slope), 0.01)
        error = np.log(np.abs(change - x @ self._slope) + 1e-3)
        power = x.T @ x + 10.0 * np.eye(x.shape[1])
        self._error = np.asarray(np.linalg.solve(power, x.T @ error))

    @classmethod
    def restored(cls, state: dict[str, Any]) -> _Ridge:
        model = cls(np.array(state["mean"]), np.array(state["std"]))
        model._slope, model._error = np.array(state["slope"]), np.array(state["error"])
        return model

    def state(self) -> dict[str, Any]:
        """Four vectors."""
        return {
            "mean": self._mean.tolist(),
            "std": self._std.tolist(),
            "slope": self._slope.tolist(),
            "error": self._error.tolist(),
        }

    def _standard(self, rows: Rows) -> NDArray[np.float64]:
        filled = (np.nan_to_num(rows.astype(np.float64)) - self._mean) / self._std
        return np.column_stack([np.clip(filled, -6, 6), np.ones(len(filled))])

    def predict(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(change, spread)."""
        x = self._standard(rows)
        return x @ self._slope, np.maximum(1.5 * np.exp(np.clip(x @ self._error, -9, 3)), 1e-4)
