"""Runs the fine-tuning job in this folder, in one process or under torchrun (gloo on CPUs, NCCL on NVIDIA GPUs).

    python3 train.py [--threads N] [--precision auto|float32|bfloat16] [--gradient-checkpointing] [--checkpoint-every 50]

Everything that decides the weights is in recipe.json and data.jsonl. Each update is computed from the same rows with the same
weights whatever the number of processes, so their number changes the result by rounding, and with dropout by other draws. An
interrupted run goes on from its last checkpoint. The result appears in result/ when it is complete.
"""

import argparse
import importlib.metadata
import json
import math
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402

import job_data as data  # noqa: E402
import job_model as models  # noqa: E402
import job_result as results  # noqa: E402

FOLDER = Path(__file__).resolve().parent
CHECKPOINT = FOLDER / "checkpoint.pt"


def main():
    options = parse_options()
    world = World(options.threads)
    job = json.loads((FOLDER / "recipe.json").read_text(encoding="utf-8"))
    try:
        if results.is_finished(FOLDER, job["id"]):
            world.say(f"{FOLDER / 'result'} is there already; delete it to train again")
        else:
            run = Run(job, world, options)
            run.train()
            run.finish()
    finally:
        world.leave()


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="threads of each process on CPUs; as PyTorch chooses by default")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--gradient-checkpointing", action="store_true", help="less memory, about a third more time")
    parser.add_argument("--checkpoint-every", type=int, default=50, metavar="UPDATES")
    return parser.parse_args()


class World:
    """The processes of this run, and which of them this is."""

    def __init__(self, threads):
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        is_cuda = torch.cuda.is_available()
        local = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = torch.device("cuda", local) if is_cuda else torch.device("cpu")
        if is_cuda:
            torch.cuda.set_device(self.device)
        elif threads is not None:
            torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        if self.size > 1:
            dist.init_process_group("nccl" if is_cuda else "gloo")

    def total(self, values):
        """Sums of numbers or tensors over all processes."""
        tensor = torch.as_tensor(values, dtype=torch.float64, device=self.device)
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def own(self, rows):
        """This process's share of a batch."""
        return rows[self.rank :: self.size]

    def say(self, text):
        if self.rank == 0:
            print(text, flush=True)

    def leave(self):
        if self.size > 1:
            dist.destroy_process_group()


class Run:
    def __init__(self, job, world, options):
        from transformers import AutoTokenizer

        self.job, self.recipe, self.world, self.options = job, job["recipe"], world, options
        self.path = path = models.model_folder(job, FOLDER)
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.rows = data.read_rows(job, FOLDER, self.tokenizer)
        self.model = models.make_model(job, path, gradient_checkpointing=options.gradient_checkpointing).to(world.device)
        self.loss = models.Loss(job, self.rows["training"].labels, world.device)
        self.optimizer = models.make_optimizer(self.model, self.recipe)
        self.precision = self.choose_precision()
        self.model.train()
        self.cached = {}
        if self.recipe["method"] == "head":
            self.cached = {name: self.embed_all(rows) for name, rows in self.rows.items()}
        # Buffers never change; with one process there is nothing to average.
        self.parallel = self.model if world.size == 1 else DistributedDataParallel(self.model, broadcast_buffers=False)
        self.plans = [data.plan_epoch(self.rows["training"], self.recipe, e) for e in range(self.recipe["epochCount"])]
        self.epochs, self.done, self.sums = [], 0, [0.0, 0.0, 0.0, 0.0]
        self.resume()

    def choose_precision(self):
        can = self.world.device.type == "cuda" and torch.cuda.is_bf16_supported()
        wanted = self.options.precision
        return ("bfloat16" if can else "float32") if wanted == "auto" else wanted

    def autocast(self):
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.world.device.type, dtype=torch.bfloat16)

    def resume(self):
        state = results.load_checkpoint(CHECKPOINT, self.job["id"])
        if state is None:
            return
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(state["model"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done, self.epochs, self.sums = state["done"], state["epochs"], state["sums"]
        self.world.say(f"goes on after update {self.done}")

    def checkpoint(self):
        if self.world.rank == 0:
            results.save_checkpoint(CHECKPOINT, {
                "id": self.job["id"], "done": self.done, "epochs": self.epochs, "sums": self.sums,
                "model": results.trained_state(self.model), "optimizer": self.optimizer.state_dict(),
            })

    def train(self):
        count = sum(len(plan) for plan in self.plans)
        first = 0
        for epoch, plan in enumerate(self.plans):
            start = time.perf_counter()
            for update in range(max(first, self.done), first + len(plan)):
                self.update(plan[update - first], update, count)
                self.done = update + 1
                if self.done % self.options.checkpoint_every == 0 and self.done < first + len(plan):
                    self.sums[3] += time.perf_counter() - start
                    start = time.perf_counter()
                    self.checkpoint()
            first += len(plan)
            if len(self.epochs) == epoch:
                self.end_epoch(time.perf_counter() - start)

    def update(self, batches, update, count):
        """One step of the optimiser, from the sum of losses over all rows of its batches and all processes."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * models.rate_share(self.recipe, update, count)
        # What is dropped depends on the update alone, so that a run which goes on later drops the same.
        torch.manual_seed((self.recipe["seed"] * 1_000_003 + update) * 1009 + self.world.rank)
        row_count = sum(len(batch) for batch in batches)
        self.optimizer.zero_grad(set_to_none=True)
        loss_sum = right = 0.0
        for i, batch in enumerate(batches):
            is_last = i == len(batches) - 1
            with nullcontext() if is_last or self.world.size == 1 else self.parallel.no_sync():
                batch_loss, batch_right = self.backward(batch, row_count)
                loss_sum, right = loss_sum + batch_loss, right + batch_right
        loss_sum, right = self.world.total([loss_sum, right]).tolist()
        loss = loss_sum / row_count
        if not math.isfinite(loss_sum):
            raise SystemExit(f"the loss is {loss} at update {update + 1} of {count}; try a smaller learningRate in the recipe")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe["maxGradientNorm"])
        self.optimizer.step()
        self.sums = [self.sums[0] + loss_sum, self.sums[1] + row_count, self.sums[2] + right, self.sums[3]]
        if (update + 1) % 10 == 0 or update + 1 == count:
            self.world.say(f"update {update + 1} of {count}, loss {loss:.4f}")

    def backward(self, batch, row_count):
        """Adds the gradient of this process's rows; their loss and how many were right, as floats."""
        own = self.world.own(batch)
        # A process without a row must still take part in the exchange of gradients.
        rows, share = (own, 1.0) if own else (batch[:1], 0.0)
        with self.autocast():
            logits = self.parallel(self.inputs("training", rows)).float()
            labels = self.rows["training"].labels[rows].to(self.world.device)
            loss = share * self.loss.sum(logits, labels)
        # DistributedDataParallel takes the mean over the processes, and the sum is wanted.
        (loss * (self.world.size / row_count)).backward()
        return loss.item(), share * self.loss.right(logits, labels).item()

    def inputs(self, part, rows):
        if part in self.cached:
            return self.cached[part][rows]
        return data.collate(self.rows[part], rows, self.tokenizer.pad_token_id or 0, self.world.device)

    @torch.no_grad()
    def over_all(self, rows, width, compute):
        """[rows, width]: `compute(row numbers)` for all rows, shared among the processes."""
        found = torch.zeros(len(rows), width, device=self.world.device)
        self.model.eval()
        for batch in data.plan_evaluation(rows, self.recipe):
            own = self.world.own(batch)
            if own:
                with self.autocast():
                    found[own] = compute(own).float()
        self.model.train()
        return self.world.total(found).float()

    def embed_all(self, rows):
        pad, width = self.tokenizer.pad_token_id or 0, self.model.classifier.in_features
        return self.over_all(rows, width, lambda own: self.model.embed(data.collate(rows, own, pad, self.world.device)))

    def selection_logits(self):
        rows = self.rows["selection"]
        return self.over_all(rows, len(self.job["labels"]), lambda own: self.model(self.inputs("selection", own)))

    def end_epoch(self, seconds):
        training, selection = self.rows["training"], self.rows["selection"]
        loss_sum, row_count, right, before = self.sums
        one = {
            "epoch": len(self.epochs) + 1,
            "loss": loss_sum / row_count,
            # Counted on the way, while the weights still changed.
            "trainingAccuracy": right / len(training),
            "selectionLoss": None,
            "selectionAccuracy": None,
            "examplesPerSecond": len(training) / max(1e-9, seconds + before),
        }
        if len(selection) > 0:
            logits, labels = self.selection_logits(), selection.labels.to(self.world.device)
            one["selectionLoss"] = self.loss.sum(logits, labels).item() / len(selection)
            one["selectionAccuracy"] = self.loss.right(logits, labels).item() / len(selection)
        self.epochs, self.sums = [*self.epochs, one], [0.0, 0.0, 0.0, 0.0]
        self.world.say(json.dumps(one))
        self.checkpoint()

    def finish(self):
        logits = self.selection_logits().cpu()
        if self.world.rank == 0:
            last = self.epochs[-1]
            metrics = {
                "format": "understudy-torch-result",
                "version": 1,
                "id": self.job["id"],
                "weightsHash": self.job["baseModel"]["weightsHash"],
                "dataHash": self.job["data"]["hash"],
                "trainingAccuracy": last["trainingAccuracy"],
                "selectionAccuracy": last["selectionAccuracy"],
                "epochs": self.epochs,
                "updateCount": self.done,
                "processCount": self.world.size,
                "device": self.world.device.type,
                "precision": self.precision,
                "versions": versions(),
            }
            results.write_result(
                FOLDER, job=self.job, path=self.path, model=self.model, tokenizer=self.tokenizer, logits=logits, metrics=metrics
            )
            CHECKPOINT.unlink(missing_ok=True)
        self.world.say(f"done: {FOLDER / 'result'}")


def versions():
    found = {"python": sys.version.split()[0]}
    for name in ("torch", "transformers", "peft"):
        found[name] = importlib.metadata.version(name)
    return found


if __name__ == "__main__":
    main()
