"""One update of the job in FOLDER, as `train.py` there computes it; `torch-job.test.ts` runs it.

  python3 test/parity/check-torch-job.py FOLDER COUNT

Prints one line of JSON: the logits of the first COUNT training rows, and what the update from them makes of loss and gradient.
"""

import json
import os
import sys
from argparse import Namespace
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"


def main(folder: str, count: int) -> None:
    sys.path.insert(0, folder)
    import train

    job = json.loads((Path(folder) / "recipe.json").read_text(encoding="utf-8"))
    options = Namespace(precision="float32", gradient_checkpointing=False, checkpoint_every=50)
    run = train.Run(job, train.World(1), options)
    rows = list(range(count))
    inputs = run.inputs("training", rows)
    logits = run.model(inputs)
    # Two batches of one update, so that what they are divided by must be known to both.
    run.update([rows[:1], rows[1:]], 0, 1)
    print(json.dumps({
        "types": inputs["token_type_ids"].unique().tolist(),
        "logits": logits.tolist(),
        "loss": run.sums[0] / run.sums[1],
        "biasGradient": run.model.classifier.bias.grad.tolist(),
    }))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
