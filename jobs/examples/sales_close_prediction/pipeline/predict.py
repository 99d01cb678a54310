"""Predicts with a downloaded model: `python3 -m pipeline.predict FOLDER [--customers FILE.csv]`.

FOLDER is the artifact that `fedml index get` wrote. Without `--customers`, the artifact's own sample is used: ten customers
of the hold-out part, which the model never saw.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np


def main(arguments: list[str] | None = None) -> int:
    """Return 0, or 1 after one line on stderr that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python3 -m pipeline.predict", description="Use a model from the index.")
    parser.add_argument("folder", type=Path, help="the artifact, as `fedml index get` wrote it")
    parser.add_argument("--customers", type=Path, help="a CSV file with the model's features as columns")
    given = parser.parse_args(arguments)
    try:
        import joblib

        models = sorted(given.folder.rglob("model.joblib"))
        if not models:
            raise ValueError(f"no model.joblib in {given.folder}")
        folder = models[0].parent
        card = json.loads((folder / "model_card.json").read_text())
        customers = given.customers or folder / "sample.csv"
        with customers.open(newline="") as file:
            rows = list(csv.DictReader(file))
        missing = [name for name in card["features"] if rows and name not in rows[0]]
        if missing or not rows:
            raise ValueError(f"{customers} has no column {missing[0]}" if missing else f"{customers} has no customer")
        table = np.array([[float(row[name]) for name in card["features"]] for row in rows], dtype=np.float32)
        # A joblib file runs code when it is loaded. Load only files that you trained or whose hash you trust.
        chances = joblib.load(models[0]).predict_proba(table)[:, 1]
    except ModuleNotFoundError as error:
        print(
            f"{sys.executable} has no module {error.name}: run this with the Python that has scikit-learn",
            file=sys.stderr,
        )
        return 1
    except (OSError, ValueError, TypeError) as error:
        print(f"can't predict: {error}", file=sys.stderr)
        return 1
    version, metrics = card["parameters"]["model_version"], card["metrics"]
    print(
        f"version {version}, ROC AUC {metrics['roc_auc']:.3f} on {metrics['customers_held_out']:,} customers held out\n"
    )
    print("customer   chance to close   did close")
    for i in np.argsort(-chances, kind="stable"):
        print(f"{i + 1:>8}   {chances[i]:>15.1%}   {rows[i].get('Purchase', '?')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
