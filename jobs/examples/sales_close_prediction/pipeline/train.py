"""Stage 4: trains the model on the training part, and writes `model.joblib` (scaler and model in one).

Prints one line for each epoch, so that `fedml runs logs` shows the progress.
"""

import json
import time
import warnings
from pathlib import Path

import numpy as np

from pipeline.parameters import Parameters, PipelineError


def run(parameters: Parameters, work: Path, artifact: Path) -> str:
    """Train for `epochs`. Raises PipelineError if the loss diverges."""
    import joblib
    from sklearn.pipeline import Pipeline

    model = joblib.load(work / "untrained.joblib")
    with np.load(work / "split.npz") as split:
        rows, labels = split["train"], split["train_labels"]
    began = time.perf_counter()
    losses = []
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):  # reported below, in one line
        warnings.filterwarnings("ignore", "Got `batch_size`")  # larger than the table: one batch for each epoch
        for epoch in range(1, parameters.epochs + 1):
            try:
                model.partial_fit(rows, labels, classes=[0, 1])
            except ValueError as error:
                raise PipelineError(f"epoch {epoch}: {error} Try a smaller learning_rate.") from error
            losses.append(float(model.loss_))
            print(
                f"train      epoch {epoch:>{len(str(parameters.epochs))}}/{parameters.epochs}  loss {model.loss_:.4f}",
                flush=True,
            )
    seconds = time.perf_counter() - began

    folder = artifact / parameters.save_path
    folder.mkdir(parents=True, exist_ok=True)
    scaler = joblib.load(work / "scaler.joblib")
    joblib.dump(Pipeline([("standardise", scaler), ("classify", model)]), folder / "model.joblib")
    (work / "training.json").write_text(json.dumps({"seconds": seconds, "losses": losses}))
    return f"{parameters.epochs} epoch{'s' * (parameters.epochs > 1)}, loss {losses[0]:.4f} → {losses[-1]:.4f}"
