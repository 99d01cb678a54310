"""Stage 3: parameters enter, an untrained model leaves (`untrained.joblib`).

Logistic regression, written as a neural network without a hidden layer, since that is what scikit-learn trains by real
minibatches: `batch_size` and `learning_rate` mean what they say. Add a hidden layer here for a deeper one.
"""

from pathlib import Path

from pipeline.parameters import Parameters


def run(parameters: Parameters, work: Path, artifact: Path) -> str:
    """Make the model."""
    import joblib
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        hidden_layer_sizes=(),
        solver="sgd",
        alpha=1.0,
        batch_size=parameters.batch_size,
        learning_rate_init=parameters.learning_rate,
        random_state=parameters.seed,
    )
    joblib.dump(model, work / "untrained.joblib")
    rate, seed = parameters.learning_rate, parameters.seed
    return f"logistic regression, batches of {parameters.batch_size}, learning rate {rate:g}, seed {seed}"
