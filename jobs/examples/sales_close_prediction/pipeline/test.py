"""Stage 5: measures the model on the hold-out part, and writes metrics, curves and a model card. Fails below `min_auc`."""

import json
import platform
import resource
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.parameters import Parameters, PipelineError

SAMPLE = 10


def run(parameters: Parameters, work: Path, artifact: Path) -> str:
    """Measure the model on customers that it never saw. Raises PipelineError below `min_auc`."""
    import joblib
    from sklearn.metrics import log_loss, roc_auc_score

    folder = artifact / parameters.save_path
    (artifact / "metrics.json").unlink(missing_ok=True)
    with np.load(work / "split.npz") as split:
        features, rows, labels = split["features"], split["held_out"], split["held_out_labels"]
        trained_on = len(split["train_labels"])
    training = json.loads((work / "training.json").read_text())
    model = joblib.load(folder / "model.joblib")
    chances = model.predict_proba(rows)[:, 1]
    if not np.isfinite(chances).all():
        raise PipelineError("the model's predictions are not numbers: try a smaller learning_rate")

    metrics: dict[str, float] = {
        "roc_auc": round(float(roc_auc_score(labels, chances)), 4),
        "lift_top_fifth": round(_lift(labels, chances, 0.2), 3),
        "log_loss": round(float(log_loss(labels, chances)), 4),
        "train_seconds": round(training["seconds"], 3),
        "customers_trained": trained_on,
        "customers_held_out": len(labels),
    }
    told = "ROC AUC {roc_auc:.3f}, lift in the top fifth {lift_top_fifth:.2f}, log loss {log_loss:.3f}".format(
        **metrics
    )
    if metrics["roc_auc"] < parameters.min_auc:
        raise PipelineError(f"{told}: below the gate, min_auc = {parameters.min_auc:g}; this model is not published")
    if parameters.plot:
        from pipeline.curves import draw

        draw(
            labels, chances, folder / "curves.png", title=f"Sales-close prediction, version {parameters.model_version}"
        )
    metrics["peak_memory_mb"] = round(_peak_memory_mb(), 1)
    _write(artifact / "environment.json", _environment())
    _write(
        folder / "model_card.json",
        {
            "model": "logistic regression on standardised features (scikit-learn Pipeline, joblib)",
            "predicts": "the chance that a sale to this customer closes",
            "features": features.tolist(),
            "source": json.loads((work / "source.json").read_text()),
            "parameters": asdict(parameters),
            "losses": training["losses"],
            "metrics": metrics,
        },
    )
    _write_sample(folder / "sample.csv", features, rows, labels)
    _write(artifact / "metrics.json", metrics)  # last, because `store` publishes nothing without it
    return told


def _lift(labels: np.ndarray, chances: np.ndarray, part: float) -> float:
    """Return how many times more buyers are in the most promising part of the customers than in all."""
    best = np.argsort(-chances, kind="stable")[: max(1, round(len(chances) * part))]
    return float(labels[best].mean() / labels.mean())


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, KiB elsewhere


def _environment() -> dict[str, str]:
    import sklearn

    return {
        "python": platform.python_version(),
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def _write_sample(path: Path, features: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> None:
    """Write some customers of the hold-out part, half of them buyers, to try the model with."""
    chosen = np.concatenate([np.flatnonzero(labels == label)[: SAMPLE // 2] for label in (1, 0)])
    lines = [",".join([*features, "Purchase"])]
    lines += [",".join([*(f"{value:g}" for value in rows[i]), "Yes" if labels[i] else "No"]) for i in sorted(chosen)]
    path.write_text("\n".join(lines) + "\n")


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
