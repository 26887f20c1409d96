"""Trains on exactly the batches of a job, in their order, and says what the loss was and how long it took.

Job: {modelFolder, method: head|lora|full, rank, alpha, targetModules, layers: [number]|null, scale, labelSmoothing,
learningRates: one per step, headLearningRates: one per step, weightDecay, noDecay: [part of a parameter's name], betas, eps,
maxGradientNorm: number|null, initial: safetensors, batches, evaluation: [{ids, mask, labels}]}. A batch per step.

Result: {losses, gradientNorms, stepSeconds, stepCpuSeconds, examplesPerSecond, warmUpSteps, evaluation: {count, accuracy,
seconds}|null}. With one thread, CPU seconds tell the cost of a step also on a busy machine; with more, threads that wait for
each other count as busy. trained.safetensors beside it.
"""

import time

import torch
from safetensors.torch import save_file
from torch import nn

from .model import make_classifier, trainable_tensors

WARM_UP_STEPS = 3


def run_steps(job, out):
    torch.manual_seed(0)
    model = make_classifier(job)
    optimizer = make_optimizer(model, job)
    batches = [to_tensors(batch) for batch in job["batches"]]
    losses, norms, seconds, cpu_seconds = [], [], [], []
    for step, batch in enumerate(batches):
        start, cpu_start = time.perf_counter(), time.process_time()
        loss, norm = train_step(model, optimizer, batch, job, step)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
        losses.append(loss)
        norms.append(norm)
    save_file(trainable_tensors(model, job["method"]), out / "trained.safetensors")
    measured = range(min(WARM_UP_STEPS, len(batches) - 1), len(batches))
    examples = sum(len(batches[step][2]) for step in measured)
    return {
        "losses": losses,
        "gradientNorms": norms,
        "stepSeconds": seconds,
        "stepCpuSeconds": cpu_seconds,
        "warmUpSteps": measured.start,
        "examplesPerSecond": examples / sum(seconds[step] for step in measured),
        "evaluation": evaluate(model, [to_tensors(batch) for batch in job.get("evaluation") or []]),
    }


def train_step(model, optimizer, batch, job, step):
    ids, mask, labels = batch
    for group in optimizer.param_groups:
        group["lr"] = job["headLearningRates" if group["is_head"] else "learningRates"][step]
    loss = nn.functional.cross_entropy(model(ids, mask), labels, label_smoothing=job["labelSmoothing"])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = None
    if job["maxGradientNorm"] is not None:
        norm = nn.utils.clip_grad_norm_(model.parameters(), job["maxGradientNorm"], foreach=True).item()
    optimizer.step()
    return loss.item(), norm


def make_optimizer(model, job, **how):
    def decays(name):
        return not any(part in name for part in job["noDecay"])

    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("classifier."), decays(name)), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": group, "is_head": is_head, "weight_decay": job["weightDecay"] if decay else 0.0}
            for (is_head, decay), group in groups.items()
        ],
        lr=job["learningRates"][0],
        betas=tuple(job["betas"]),
        eps=job["eps"],
        # All of MiniLM-L6, one thread: 35 ms a step, against 217 with `foreach` and 232 without either.
        **(how or {"fused": True}),
    )


def to_tensors(batch):
    return torch.tensor(batch["ids"]), torch.tensor(batch["mask"]), torch.tensor(batch["labels"])


def evaluate(model, batches):
    if not batches:
        return None
    start = time.perf_counter()
    model.eval()
    right = count = 0
    with torch.inference_mode():
        for ids, mask, labels in batches:
            right += (model(ids, mask).argmax(-1) == labels).sum().item()
            count += len(labels)
    return {"count": count, "accuracy": right / count, "seconds": time.perf_counter() - start}
