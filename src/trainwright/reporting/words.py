"""Names of metrics, simple models, roles and tasks, as a reader calls them in either language."""

from __future__ import annotations

from trainwright.reporting.language import Message, both, mark, verbatim

_METRICS = {
    "accuracy": mark("accuracy"),
    "balanced_accuracy": mark("balanced accuracy"),
    "precision": mark("precision"),
    "recall": mark("recall"),
    "f1": mark("F1"),
    "f1_macro": mark("F1 (mean over classes)"),
    "f1_micro": mark("F1 (over all decisions)"),
    "f1_weighted": mark("F1 (weighted by class size)"),
    "roc_auc": mark("ROC-AUC"),
    "pr_auc": mark("PR-AUC"),
    "log_loss": mark("log loss"),
    "brier": mark("Brier score"),
    "ece": mark("calibration error"),
    "mcc": mark("Matthews correlation"),
    "kappa": mark("Cohen's kappa"),
    "quadratic_kappa": mark("quadratic kappa"),
    "top_5": mark("share among the five most probable"),
    "loss": mark("loss in nats"),
    "perplexity": mark("perplexity"),
    "reward_accuracy": mark("reward accuracy"),
    "reward_margin": mark("reward margin"),
    "bits_per_byte": mark("bits per byte"),
    "bits_per_character": mark("bits per character"),
    "accuracy_by_byte": mark("accuracy, for each byte of a choice"),
    "exact_match": mark("exact match"),
    "rouge_1": mark("ROUGE-1"),
    "rouge_2": mark("ROUGE-2"),
    "rouge_l": mark("ROUGE-L"),
    "bleu": mark("BLEU"),
    "chrf": mark("chrF"),
    "mse": mark("mean squared error"),
    "rmse": mark("root mean squared error"),
    "mae": mark("mean absolute error"),
    "r2": mark("R²"),
    "mape": mark("mean absolute percentage error"),
    "pinball": mark("pinball loss"),
    "coverage": mark("share inside the interval"),
}

_BASELINES = {
    "majority": mark("class frequencies"),
    "mean": mark("the mean"),
    "logistic": mark("logistic regression"),
    "ridge": mark("ridge regression"),
    "boosting": mark("gradient-boosted trees"),
    "ngrams": mark("n-grams"),
    "start": mark("before training"),
}

_TASKS = {
    "binary": mark("yes or no"),
    "multiclass": mark("one class of several"),
    "multilabel": mark("several labels at once"),
    "regression": mark("a number"),
    "ordinal": mark("one step of a scale"),
    "causal-lm": mark("the next token"),
    "masked-lm": mark("hidden tokens"),
    "chat": mark("the assistant's answers"),
    "preference": mark("the better of two answers"),
    "sequence-to-sequence": mark("one text from another"),
}

_ROLES = {"input": mark("input"), "target": mark("target"), "left out": mark("left out")}

_SPLITS = {
    "random": mark("at random"),
    "stratified": mark("at random, with every class in its share (stratified)"),
    "group": mark("by group, so that no group is on both sides"),
    "time": mark("by time: the latest rows are the test"),
    "column": mark("by a column of the data"),
    "given": mark("as given by the files or folders"),
    "ends": mark("by cutting each text: its end is validation and test"),
}

_PARTS = {"training": mark("training"), "validation": mark("validation"), "test": mark("test")}

_STAGES = {
    "open": mark("read the data"),
    "tokenizer": mark("train the tokenizer"),
    "tokenise": mark("cut the texts into tokens"),
    "encode": mark("encode it"),
    "train": mark("train the model"),
    "baselines": mark("train the simple models"),
    "judge": mark("judge the result"),
    "total": mark("the whole run"),
}

_TYPES = {
    "number": mark("number"),
    "category": mark("category"),
    "boolean": mark("boolean"),
    "text": mark("text"),
    "image": mark("image"),
    "audio": mark("audio"),
    "date": mark("date"),
    "set": mark("set"),
    "sequence": mark("sequence"),
    "vector": mark("vector"),
    "ordinal": mark("ordinal"),
    "id-like": mark("id"),
    "constant": mark("constant"),
    "unknown": mark("unknown"),
}

_STOPS = {
    "finished": mark("the schedule was finished"),
    "early stopping": mark("validation had stopped improving (early stopping)"),
    "interrupted": mark("it was interrupted"),
    "budget": mark("the budget was used up"),
}


def _word(words: dict[str, str], name: str, otherwise: str | None = None) -> Message:
    return both(words[name]) if name in words else verbatim(otherwise or name)


def metric_title(name: str, title: str | None = None) -> Message:
    """Return a metric's name for a reader; one that we do not know keeps its own `title`."""
    return _word(_METRICS, name, title)


def baseline_title(name: str, title: str | None = None) -> Message:
    """Return a simple model's name for a reader."""
    return _word(_BASELINES, name, title)


def task_title(name: str) -> Message:
    """Return what a task predicts, in plain words."""
    return _word(_TASKS, name)


def role_title(name: str) -> Message:
    """Return what a column was used for."""
    return _word(_ROLES, name)


def split_title(method: str) -> Message:
    """Return how the rows were shared out."""
    return _word(_SPLITS, method)


def part_title(name: str) -> Message:
    """Return the name of a split: training, validation or test."""
    return _word(_PARTS, name)


def stage_title(name: str) -> Message:
    """Return the name of a stage of the run."""
    return _word(_STAGES, name)


def type_title(name: str) -> Message:
    """Return the name of a feature type."""
    return _word(_TYPES, name)


def stop_title(reason: str) -> Message:
    """Return why training ended."""
    return _word(_STOPS, reason)
