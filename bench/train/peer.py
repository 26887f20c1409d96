"""PyTorch as the peer of the training engine. Python only for comparison.

    python bench/train/peer.py [--threads 2] steps JOB OUT       the same batches, step by step, see peers/steps.py
    python bench/train/peer.py [--threads 2] trainer JOB OUT     the plain Hugging Face Trainer, see peers/trainer.py
    python bench/train/peer.py [--threads 2] setfit JOB OUT      SetFit on few-shot draws, see peers/few_shot.py

JOB is a JSON file, OUT a folder; what happened is in OUT/result.json. Relative paths in a job are relative to the job.
"""

import time

STARTED = time.perf_counter()  # Before the imports: for the recipes everything counts.

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("peer", choices=["steps", "trainer", "setfit"])
    parser.add_argument("job", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["HF_HUB_OFFLINE"] = "1"
    job = json.loads(options.job.read_text())
    for key in ("modelFolder", "initial", "training", "evaluation"):
        if isinstance(job.get(key), str):
            job[key] = str((options.job.parent / job[key]).resolve())
    options.out.mkdir(parents=True, exist_ok=True)

    import torch

    torch.set_num_threads(options.threads)
    result = run(options.peer, job, options.out)
    result["peakMemoryBytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result["threads"] = torch.get_num_threads()
    result["versions"] = versions()
    (options.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")


def run(peer, job, out):
    if peer == "steps":
        from peers.steps import run_steps

        return run_steps(job, out)
    if peer == "trainer":
        from peers.trainer import run_trainer

        return run_trainer(job, out, STARTED)
    from peers.few_shot import run_few_shot

    return run_few_shot(job, out)


def versions():
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for name in ("torch", "transformers", "peft", "sentence-transformers", "setfit"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


if __name__ == "__main__":
    main()
