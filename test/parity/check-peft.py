"""What PEFT, transformers and sentence-transformers make of folders that Understudy wrote; `peft.test.ts` runs it.

  python3 test/parity/check-peft.py FOLDER

FOLDER holds `request.json` {inputIds, attentionMask, texts}, `base/` (transformers), `adapters/NAME/` (PEFT), `merged/`
(transformers) and `sentences/` (sentence-transformers). Prints one line of JSON. It knows nothing of Understudy.
"""

import json
import logging
import os
import sys
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import sentence_transformers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from peft import PeftModel  # noqa: E402


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    request = json.loads((folder / "request.json").read_text())
    inputs = {
        "input_ids": torch.tensor(request["inputIds"]),
        "attention_mask": torch.tensor(request["attentionMask"]),
    }
    # Another type for all but the first two tokens, as for the second text of a pair.
    pairs = {**inputs, "token_type_ids": inputs["attention_mask"].cumsum(1).gt(2).long()}
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    answers: dict = {"adapters": {}, "adapterPairs": {}}
    with torch.no_grad():
        for adapter in sorted((folder / "adapters").iterdir()):
            model = PeftModel.from_pretrained(load(folder / "base"), adapter).eval()
            answers["adapters"][adapter.name] = model(**inputs).logits.tolist()
            answers["adapterPairs"][adapter.name] = model(**pairs).logits.tolist()
        merged = load(folder / "merged").eval()
        answers["merged"] = merged(**inputs).logits.tolist()
        answers["mergedPairs"] = merged(**pairs).logits.tolist()
        answers["labels"] = list(merged.config.id2label.values())
    sentences = sentence_transformers.SentenceTransformer(str(folder / "sentences"), device="cpu")
    answers["sentences"] = sentences.encode(request["texts"]).tolist()
    answers["maxTokens"] = sentences.max_seq_length
    print(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
