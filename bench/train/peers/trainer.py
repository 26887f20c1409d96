"""The recipe that every tutorial shows: AutoModelForSequenceClassification and the Trainer with its defaults.

Job: {modelFolder, training: CSV, evaluation: CSV (columns text and label), epochs: 3, batchSize: 8, learningRate: 5e-5,
seed: 42}.

Result: {wallSeconds, accuracy, epochs: [{epoch, accuracy, seconds}], phases: {…: seconds}}. Everything counts, from before
the imports to the last evaluation; only the evaluations after earlier epochs, which the plain recipe does not have, are
taken off again, from `wallSeconds` and from the `seconds` of later epochs.
"""

import csv
import tempfile
import time


def run_trainer(job, out, started):
    import numpy as np
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    imported = time.perf_counter()
    training, evaluation = read_rows(job["training"]), read_rows(job["evaluation"])
    labels = sorted({row["label"] for row in training})
    tokenizer = AutoTokenizer.from_pretrained(job["modelFolder"])

    def dataset(rows):
        numbered = [{"text": row["text"], "label": labels.index(row["label"])} for row in rows if row["label"] in labels]
        return Dataset.from_list(numbered).map(lambda batch: tokenizer(batch["text"], truncation=True), batched=True)

    training, evaluation = dataset(training), dataset(evaluation)
    tokenised = time.perf_counter()
    model = AutoModelForSequenceClassification.from_pretrained(job["modelFolder"], num_labels=len(labels))
    epochs = job.get("epochs", 3)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=scratch,
                num_train_epochs=epochs,
                per_device_train_batch_size=job.get("batchSize", 8),
                per_device_eval_batch_size=job.get("batchSize", 8),
                learning_rate=job.get("learningRate", 5e-5),
                seed=job.get("seed", 42),
                use_cpu=True,
                # Not of the recipe's essence, and they would only cost it time: checkpoints, reports, a progress bar.
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=training,
            eval_dataset=evaluation,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda result: {"accuracy": float((np.argmax(result.predictions, -1) == result.label_ids).mean())},
        )
        watch = []

        class Watch(TrainerCallback):
            def on_epoch_end(self, args, state, control, **_):
                ended = time.perf_counter()
                accuracy = trainer.evaluate()["eval_accuracy"]
                watch.append({"epoch": len(watch) + 1, "accuracy": accuracy, "ended": ended, "took": time.perf_counter() - ended})

        trainer.add_callback(Watch())
        trainer.train()
    return report(watch, {"started": started, "imported": imported, "tokenised": tokenised})


def report(watch, times):
    extra = 0.0
    epochs = []
    for one in watch:
        epochs.append({
            "epoch": one["epoch"],
            "accuracy": one["accuracy"],
            # A user who had asked for this many epochs only: training so far and one evaluation.
            "seconds": one["ended"] + one["took"] - times["started"] - extra,
        })
        extra += one["took"]
    last = watch[-1]
    return {
        "wallSeconds": epochs[-1]["seconds"],
        "accuracy": last["accuracy"],
        "epochs": epochs,
        "phases": {
            "imports": times["imported"] - times["started"],
            "tokenising": times["tokenised"] - times["imported"],
            "training": last["ended"] - times["tokenised"] - (extra - last["took"]),
            "evaluation": last["took"],
        },
    }


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
