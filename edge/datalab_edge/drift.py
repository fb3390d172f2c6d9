"""Numbers about a model's answers, by scipy and scikit-learn.

These are imported where there is something to compute: `./lab edge` without `monitor` has neither.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

Features = dict[str, float]

# Fewer answers than this say nothing of a distribution, and fewer ratings nothing of a calibration.
FEWEST, FEWEST_RATED = 30, 100
# Of a text: so many different words of it are features.
MOST_WORDS = 200
# Where a model begins to say that a thing is of class 1.
THRESHOLD = 0.5
FOLDS, TREES, LEAF = 5, 100, 5
# Larger numbers are left out: scikit-learn's trees hold 32 bits and refuse what does not fit.
LARGEST = 1e38


@dataclass(frozen=True)
class Answer:
    """One row of a request, with what the model said of it and how that was rated."""

    features: Features
    number: float | None  # the prediction, where it is one number
    surest: float | None  # the probability of the likeliest class, where each has one
    score: float | None  # the newest feedback that is a number

    @property
    def rated(self) -> tuple[float, float] | None:
        """The probability of class 1 with the class that it was; None where that is not known."""
        if self.number is None or not 0 <= self.number <= 1 or self.score not in (0, 1):
            return None
        return self.number, self.score


def answers(
    data: str, prediction: float | None, outputs: str | None, score: float | None
) -> Iterator[Answer]:
    """The rows of one event of the lake; of feedback on several nobody knows which it is for."""
    given = json.loads(data)
    rows = given if isinstance(given, list) else [given]
    said: Any = json.loads(outputs) if outputs else prediction
    each = said if isinstance(said, list) and len(rows) > 1 else [said]
    if len(each) != len(rows):
        each = [None] * len(rows)
    for row, one in zip(rows, each, strict=True):
        yield Answer(
            features=_features(row),
            number=_number(one),
            surest=_surest(one),
            score=score if len(rows) == 1 else None,
        )


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        return None  # NaN and infinity too
    return float(value)


def _surest(said: Any) -> float | None:
    """Of probabilities of classes by name; other models answer with named numbers too."""
    if not isinstance(said, dict):
        return None
    numbers = [_number(one) for one in said.values()]
    found = [one for one in numbers if one is not None and 0 <= one <= 1]
    if len(found) < len(numbers) or not isclose(sum(found), 1, abs_tol=0.01):
        return None
    return max(found)


def _features(row: Any, name: str = "input") -> Features:
    """Numbers as they are, and each word of a text as one that is there."""
    if isinstance(row, Mapping):
        found: Features = {}
        for key, value in row.items():
            found |= _features(value, str(key))
        return found
    if (number := _number(row)) is not None:
        return {name: number}
    if isinstance(row, str):
        words = list(dict.fromkeys(re.findall(r"\w+", row.lower())))[:MOST_WORDS]
        return {f"{name}={word}": 1.0 for word in words}
    return {}


def prediction_drift(
    reference: Sequence[Answer], day: Sequence[Answer]
) -> tuple[float | None, float | None]:
    """Kolmogorov-Smirnov's distance of the predictions, 0 to 1, and its p-value."""
    before, now = (
        [one.number for one in some if one.number is not None] for some in (reference, day)
    )
    if min(len(before), len(now)) < FEWEST:
        return None, None
    from scipy.stats import ks_2samp

    found = ks_2samp(before, now)
    return float(found.statistic), float(found.pvalue)


def feature_drift(reference: Sequence[Answer], day: Sequence[Answer]) -> float | None:
    """How well a classifier tells the day's data from the reference's: its ROC AUC.

    0.5: not at all. Each row is judged by trees that have not seen it.
    """
    before, now = ([one.features for one in some if one.features] for some in (reference, day))
    if min(len(before), len(now)) < FEWEST:
        return None
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    table = DictVectorizer().fit_transform([*before, *now])
    of_day = [0] * len(before) + [1] * len(now)
    trees = RandomForestClassifier(
        TREES, min_samples_leaf=LEAF, class_weight="balanced", random_state=1
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=1)
    guessed = cross_val_predict(trees, table, of_day, cv=folds, method="predict_proba")
    return float(roc_auc_score(of_day, guessed[:, 1]))


def estimated_accuracy(reference: Sequence[Answer], day: Sequence[Answer]) -> float | None:
    """The share of right answers that the probabilities themselves promise.

    Without feedback: confidence-based performance estimation (CBPE). Where enough of the reference
    was rated, the probabilities are corrected by that first (isotonic regression).
    """
    surest = [one.surest for one in day if one.surest is not None]
    if surest:
        return sum(surest) / len(surest) if len(surest) >= FEWEST else None
    numbers = [one.number for one in day if one.number is not None]
    if len(numbers) < FEWEST or not all(0 <= number <= 1 for number in numbers):
        return None
    found = _calibrated(_rated(reference), numbers)
    right = (
        true if number >= THRESHOLD else 1 - true
        for number, true in zip(numbers, found, strict=True)
    )
    return sum(right) / len(numbers)


def _calibrated(rated: Sequence[tuple[float, float]], numbers: Sequence[float]) -> list[float]:
    if len(rated) < FEWEST_RATED:
        return list(numbers)
    from sklearn.isotonic import IsotonicRegression

    given, true = zip(*rated, strict=True)
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(given, true)
    return [float(one) for one in fitted.predict(numbers)]


def brier(day: Sequence[Answer]) -> float | None:
    """The mean square of what the probability of class 1 was off, by feedback that is 0 or 1."""
    rated = _rated(day)
    if not rated:
        return None
    from sklearn.metrics import brier_score_loss

    given, true = zip(*rated, strict=True)
    return float(brier_score_loss(true, given, pos_label=1))


def _rated(some: Iterable[Answer]) -> list[tuple[float, float]]:
    return [one.rated for one in some if one.rated is not None]
