"""Writes goldens/peft: a tiny random BERT, two LoRA adapters on it that PEFT saved, and what the adapted models answer.

  python3 -m venv .cache/parity-venv
  .cache/parity-venv/bin/pip install torch==2.13.0 peft==0.21.2 transformers==5.24.0
  .cache/parity-venv/bin/python test/parity/make-peft-goldens.py

It knows nothing of Understudy. `mean/` adapts a BertModel whose last hidden states are averaged, `classifier/` a
BertForSequenceClassification, its classifier saved whole; both share `base/`.
"""

import json
import shutil
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, TaskType, get_peft_model

SEED = 20
TARGETS = ["query", "value", "attention.output.dense"]
CONFIG = transformers.BertConfig(
    vocab_size=100,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=24,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    num_labels=3,
)
ROWS = [[2, 17, 33, 3], [2, 99, 5, 41, 8, 8, 64, 3], [2, 3], [2, *range(10, 30), 3]]


def randomise(model, scale: float) -> None:
    """Everything but the norms' gains is far from its start, B of the adapters and all biases included."""
    for name, parameter in model.named_parameters():
        if not name.endswith("LayerNorm.weight"):
            torch.nn.init.normal_(parameter, std=scale)


def batch():
    width = max(len(row) for row in ROWS)
    ids = torch.tensor([row + [0] * (width - len(row)) for row in ROWS])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ROWS])
    return {"input_ids": ids, "attention_mask": mask}


def adapted(model, task: TaskType):
    config = LoraConfig(task_type=task, r=4, lora_alpha=8, target_modules=TARGETS)
    wrapped = get_peft_model(model, config)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return wrapped.eval()


def save(wrapped, folder: Path) -> None:
    config = wrapped.peft_config["default"]
    config.base_model_name_or_path = "tiny"
    # A set otherwise, in another order each time.
    config.target_modules = sorted(config.target_modules)
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)


def main() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    folder = Path(__file__).parent / "goldens" / "peft"
    shutil.rmtree(folder, ignore_errors=True)
    base = transformers.BertForSequenceClassification(CONFIG).eval()
    randomise(base, 0.3)
    base.save_pretrained(folder / "base")
    inputs = batch()

    encoder = transformers.BertModel.from_pretrained(folder / "base")
    mean = adapted(encoder, TaskType.FEATURE_EXTRACTION)
    save(mean, folder / "mean")
    classifier = adapted(base, TaskType.SEQ_CLS)
    save(classifier, folder / "classifier")
    with torch.no_grad():
        hidden = mean(**inputs).last_hidden_state
        mask = inputs["attention_mask"][:, :, None]
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        with mean.disable_adapter():
            plain = mean(**inputs).last_hidden_state[:, 0]
        logits = classifier(**inputs).logits

    expected = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "inputIds": inputs["input_ids"].tolist(),
        "attentionMask": inputs["attention_mask"].tolist(),
        "unadaptedFirstToken": torch.nn.functional.normalize(plain, dim=1).tolist(),
        "meanOfTokens": torch.nn.functional.normalize(pooled, dim=1).tolist(),
        "logits": logits.tolist(),
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
