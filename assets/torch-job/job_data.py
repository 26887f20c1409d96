"""Rows of a job and the batches they come in. The same seed gives the same batches, whatever the number of processes."""

import hashlib
import json
from dataclasses import dataclass

import torch

POOL_ROWS = 2048  # Sorted by length within pools of this size: little padding, and still a random order.


@dataclass(frozen=True)
class Rows:
    ids: list  # Token numbers of each row, special tokens included.
    labels: torch.Tensor  # [rows] class numbers, or [rows, classes] of 0 and 1.

    def __len__(self):
        return len(self.ids)


def read_rows(job, folder, tokenizer):
    """{"training": Rows, "selection": Rows}, tokenised; stops where the file is not the one that the job was made with."""
    path = folder / job["data"]["file"]
    if sha256(path) != job["data"]["hash"]:
        raise SystemExit(f"{path} was changed since the job was written: its SHA-256 differs from the one in recipe.json")
    parts = {"training": [], "selection": []}
    with open(path, encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            parts[row["split"]].append(row)
    return {name: tokenise(rows, job, tokenizer) for name, rows in parts.items()}


def tokenise(rows, job, tokenizer):
    ids = [
        tokenizer(row["text"], row.get("pair"), truncation=True, max_length=job["maxTokens"])["input_ids"] for row in rows
    ]
    if job["kind"] == "single-label":
        return Rows(ids, torch.tensor([row["labels"][0] for row in rows], dtype=torch.long))
    labels = torch.zeros(len(rows), len(job["labels"]))
    for i, row in enumerate(rows):
        labels[i, row["labels"]] = 1.0
    return Rows(ids, labels)


def cut_batches(order, lengths, budget):
    """Consecutive rows, as long as rows × longest row stays within the budget; a longer row makes a batch of its own."""
    batches, batch, longest = [], [], 0
    for row in order:
        longest_with = max(longest, lengths[row])
        if batch and longest_with * (len(batch) + 1) > budget:
            batches.append(batch)
            batch, longest_with = [], lengths[row]
        batch.append(row)
        longest = longest_with
    return batches + [batch] if batch else batches


def plan_epoch(rows, recipe, epoch):
    """Updates of an epoch: each a list of batches, each a list of row numbers."""
    generator = torch.Generator().manual_seed(recipe["seed"] * 1_000_003 + epoch)
    order = torch.randperm(len(rows), generator=generator).tolist()
    lengths = [len(ids) for ids in rows.ids]
    batches = []
    for at in range(0, len(order), POOL_ROWS):
        pool = sorted(order[at : at + POOL_ROWS], key=lambda row: lengths[row])
        batches += cut_batches(pool, lengths, recipe["batchTokens"])
    shuffled = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
    size = recipe["accumulationSteps"]
    return [shuffled[at : at + size] for at in range(0, len(shuffled), size)]


def plan_evaluation(rows, recipe):
    """Batches over all rows, similar lengths together."""
    lengths = [len(ids) for ids in rows.ids]
    order = sorted(range(len(rows)), key=lambda row: lengths[row])
    return cut_batches(order, lengths, 4 * recipe["batchTokens"])


def collate(rows, chosen, pad, device):
    """{input_ids, attention_mask, token_type_ids}: [batch, longest]."""
    longest = max(len(rows.ids[row]) for row in chosen)

    def padded(sequences, value):
        return torch.tensor([one + [value] * (longest - len(one)) for one in sequences], device=device)

    ids = padded([rows.ids[row] for row in chosen], pad)
    return {
        "input_ids": ids,
        "attention_mask": padded([[1] * len(rows.ids[row]) for row in chosen], 0),
        # Of type 0 in the second text of a pair too: whatever reads the result back knows no other type.
        "token_type_ids": torch.zeros_like(ids),
    }


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
