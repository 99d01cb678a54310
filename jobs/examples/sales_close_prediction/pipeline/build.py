"""Stage 3: makes an untrained model from the parameters (`untrained.joblib`).

The model is a logistic regression, written as a neural network without a hidden layer. scikit-learn trains such networks
by real minibatches, so `batch_size` and `learning_rate` apply. Add hidden layers here for a deeper model.
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
