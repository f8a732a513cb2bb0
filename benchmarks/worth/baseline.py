"""Baseline without a language model: weighted words and word pairs with logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from calibration import class_scores
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from tasks import Row, Task

STRENGTHS = (1.0, 10.0, 100.0)
"""Of the regularisation; the best on the validation questions is taken."""


def baseline_scores(
    task: Task, gold: dict[str, str], parts: dict[str, Sequence[Row]]
) -> dict[str, dict[str, float]]:
    """Fit on the gold and score the parts of a task with a closed set of classes."""
    rows = [row for row in task.train if row.id in gold]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    seen = words.fit_transform([row.text for row in rows])
    labels = [gold[row.id] for row in rows]

    def scores(model: LogisticRegression, part: Sequence[Row]) -> dict[str, float]:
        places = {label: place for place, label in enumerate(task.classes)}
        log_p = np.full((len(part), len(task.classes)), -30.0)  # classes that gold does not have
        columns = [places[label] for label in model.classes_]
        log_p[:, columns] = model.predict_log_proba(words.transform([row.text for row in part]))
        return class_scores(log_p, np.array([places[row.label] for row in part]))

    models = [LogisticRegression(C=c, max_iter=300).fit(seen, labels) for c in STRENGTHS]
    best = max(models, key=lambda model: scores(model, task.validation)["accuracy"])
    return {name: scores(best, part) for name, part in parts.items()}
