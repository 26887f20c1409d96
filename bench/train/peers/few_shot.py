"""SetFit with its defaults on given draws, from the same encoder folder.

Job: {modelFolder, draws: [[{text, label}]], evaluation: CSV (columns text and label)}. Settings beside SetFit's defaults, if
any, in `arguments` ({num_iterations: 20}, …), as its TrainingArguments call them; `device` is PyTorch's name of one.

Result: {draws: [{accuracy, fitSeconds, predictSeconds, trainCount}], meanAccuracy}.
"""

import tempfile
import time
import warnings

from .trainer import read_rows

warnings.filterwarnings("ignore")


def run_few_shot(job, out):
    evaluation = read_rows(job["evaluation"])
    draws = [one_draw(job, rows, evaluation) for rows in job["draws"]]
    return {"draws": draws, "meanAccuracy": sum(draw["accuracy"] for draw in draws) / len(draws)}


def one_draw(job, rows, evaluation):
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    start = time.perf_counter()
    body = SentenceTransformer(job["modelFolder"], device=job.get("device", "cpu"))
    # The body comes from a folder without a SetFit head, so the head is given: the one that SetFit makes by default.
    model = SetFitModel(model_body=body, model_head=LogisticRegression(), labels=None)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch, report_to="none", save_strategy="no", show_progress_bar=False, **job.get("arguments", {})
        )
        data = Dataset.from_list([{"text": row["text"], "label": row["label"]} for row in rows])
        Trainer(model=model, args=arguments, train_dataset=data).train()
    fitted = time.perf_counter()
    predicted = model.predict([row["text"] for row in evaluation], show_progress_bar=False)
    right = sum(str(label) == row["label"] for label, row in zip(predicted, evaluation))
    return {
        "accuracy": right / len(evaluation),
        "fitSeconds": fitted - start,
        "predictSeconds": time.perf_counter() - fitted,
        "trainCount": len(rows),
    }
