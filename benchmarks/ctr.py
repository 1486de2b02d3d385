"""Click prediction on categorical fields: AUC, log-loss and calibration of the default recipe. See `accuracy.py`."""

import json
import resource
import time
from pathlib import Path

import numpy as np

from slatewise.datasets.ctr import Examples, read_examples, read_training
from slatewise.evaluation.metrics.auc import auc
from slatewise.training.calibration import calibration_error
from slatewise.training.fit_ctr import Calibration, CtrFit, CtrRecipe, fit_ctr, log_loss

UNTOUCHED = Calibration()


def measure_ctr(folder: Path, seeds: int, overrides: dict, progress) -> dict:
    """Fit once per seed on train and valid, and only then open the test file; return what `accuracy.py` prints."""
    fields, train = read_training(folder)
    valid = read_examples(folder, "valid", fields)
    recipe = CtrRecipe(**overrides)
    fits, train_s = [], []
    for seed in range(seeds):
        start = time.perf_counter()
        fits.append(fit_ctr(train, valid, fields.sizes, recipe, seed, progress))
        train_s.append(time.perf_counter() - start)
        print(
            json.dumps({"seed": seed, "valid": figures(fits[-1], valid), "train_s": round(train_s[-1], 1)}), flush=True
        )
    test = read_examples(folder, "test", fields)
    found = [
        figures(fit, test) | {"valid": figures(fit, valid), "best_pass": fit.best_pass, "train_s": round(took, 1)}
        for fit, took in zip(fits, train_s, strict=True)
    ]
    names = ("auc", "logloss", "ece", "logloss_raw", "ece_raw")
    return {
        **{name: round(float(np.mean([one[name] for one in found])), 5) for name in names},
        "seeds": found,
        "train_s": round(float(np.median(train_s)), 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "rows": {"train": len(train), "valid": len(valid), "test": len(test)},
    }


def figures(fit: CtrFit, examples: Examples) -> dict:
    """Return AUC, log-loss and expected calibration error, the last two calibrated and as they come (``_raw``)."""
    logit, label = fit.logits(examples.value), examples.label
    return {
        "auc": round(auc(logit, label), 5),
        "logloss": round(log_loss(fit.calibration.logits(logit), label), 5),
        "ece": round(calibration_error(fit.calibration.probabilities(logit), label), 5),
        "logloss_raw": round(log_loss(logit, label), 5),
        "ece_raw": round(calibration_error(UNTOUCHED.probabilities(logit), label), 5),
    }
