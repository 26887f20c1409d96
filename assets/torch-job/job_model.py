"""The network of a job: encoder, pooled embedding of length 1, times a scale, one linear layer. And its loss."""

import math
import re

import torch
from torch import nn

from job_data import sha256


class Classifier(nn.Module):
    def __init__(self, encoder, classifier, pooling, scale):
        super().__init__()
        self.encoder, self.classifier, self.pooling, self.scale = encoder, classifier, pooling, scale

    def embed(self, inputs):
        hidden = self.encoder(**inputs).last_hidden_state  # [batch, length, hidden]
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return nn.functional.normalize(pooled.float(), dim=-1)  # [batch, hidden]

    def forward(self, inputs):
        """`inputs`: token numbers, or embeddings that were computed before."""
        embedding = inputs if torch.is_tensor(inputs) else self.embed(inputs)
        return self.classifier(self.scale * embedding)  # [batch, classes]


def model_folder(job, folder):
    """Where the encoder lies, fetched where it must be; stops where its weights are not those of the job."""
    source = job["baseModel"]["source"]
    if source["kind"] == "folder":
        path = folder / source["path"]
    else:
        from pathlib import Path

        from huggingface_hub import snapshot_download

        patterns = ["*.json", "*.txt", "*/config.json", "model.safetensors"]
        path = Path(snapshot_download(source["repository"], revision=source["revision"], allow_patterns=patterns))
    if sha256(path / "model.safetensors") != job["baseModel"]["weightsHash"]:
        raise SystemExit(f"{path / 'model.safetensors'} is not the model of this job: its SHA-256 differs from recipe.json")
    return path


def make_model(job, path, *, gradient_checkpointing):
    """Deterministic by the recipe's seed: initial adapters and head."""
    from transformers import AutoConfig, AutoModel

    recipe = job["recipe"]
    torch.manual_seed(recipe["seed"])
    config = AutoConfig.from_pretrained(path)
    # Frozen layers and attention drop nothing; the layers that train get the recipe's dropout below.
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    extra = {"add_pooling_layer": False} if config.model_type in ("bert", "roberta", "xlm-roberta") else {}
    encoder = AutoModel.from_pretrained(path, config=config, attn_implementation="sdpa", dtype=torch.float32, **extra)
    if gradient_checkpointing:
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    classifier = nn.Linear(config.hidden_size, len(job["labels"]))
    nn.init.uniform_(classifier.weight, -(config.hidden_size**-0.5), config.hidden_size**-0.5)
    nn.init.zeros_(classifier.bias)
    encoder = choose_weights(encoder, recipe, config)
    drop_hidden(encoder, recipe, config)
    return Classifier(encoder, classifier, job["pooling"], recipe["scale"])


def choose_weights(encoder, recipe, config):
    """Freezes what does not train, and adds adapters where the method is LoRA."""
    if recipe["layerCount"] is not None and recipe["layerCount"] > config.num_hidden_layers:
        raise SystemExit(f"recipe.layerCount is {recipe['layerCount']}, the model has {config.num_hidden_layers} layers")
    layers = None
    if recipe["layerCount"] is not None:
        layers = list(range(config.num_hidden_layers - recipe["layerCount"], config.num_hidden_layers))
    if recipe["method"] == "lora":
        from peft import LoraConfig, get_peft_model

        return get_peft_model(
            encoder,
            LoraConfig(
                task_type="FEATURE_EXTRACTION",
                r=recipe["rank"],
                lora_alpha=recipe["alpha"],
                target_modules=recipe["targetModules"],
                layers_to_transform=layers,
                lora_dropout=0.0,
                bias="none",
            ),
        )
    if recipe["method"] == "head" or layers is not None:
        encoder.requires_grad_(False)
    if recipe["method"] == "full" and layers is not None:
        for layer in layers:
            encoder.encoder.layer[layer].requires_grad_(True)
    return encoder


def drop_hidden(encoder, recipe, config):
    """Dropout behind attention and feed-forward of every layer that trains."""
    first = config.num_hidden_layers - (recipe["layerCount"] or config.num_hidden_layers)
    for name, module in encoder.named_modules():
        found = re.search(r"encoder\.layer\.(\d+)\.(attention\.)?output\.dropout$", name)
        if found and int(found.group(1)) >= first and recipe["method"] != "head":
            module.p = recipe["dropout"]


def make_optimizer(model, recipe):
    """AdamW; biases and layer norms do not decay, the head has a learning rate of its own."""
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decays = not (name.endswith("bias") or "LayerNorm" in name)
            groups.setdefault((name.startswith("classifier."), decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "peak": recipe["headLearningRate" if is_head else "learningRate"],
                "weight_decay": recipe["weightDecay"] if decays else 0.0,
            }
            for (is_head, decays), parameters in groups.items()
        ],
        lr=recipe["learningRate"],
        betas=(0.9, recipe["beta2"]),
        fused=True,
    )


def rate_share(recipe, update, count):
    """Share of the peak learning rate at an update, of `count`."""
    warm = round(recipe["warmupShare"] * count)
    if update < warm:
        return (update + 1) / warm
    progress = (update - warm) / max(1, count - warm)
    if recipe["schedule"] == "linear":
        return 1 - progress
    return 0.5 * (1 + math.cos(math.pi * progress)) if recipe["schedule"] == "cosine" else 1.0


class Loss:
    """Sums over rows, so that parts of a batch may be computed anywhere. Divided by rows, also where these weigh differently."""

    def __init__(self, job, labels, device):
        self.kind, self.smoothing = job["kind"], job["recipe"]["labelSmoothing"]
        self.weights = None
        if job["recipe"]["classWeights"] == "balanced":
            self.weights = balanced_weights(labels, len(job["labels"])).to(device)

    def sum(self, logits, labels):
        if self.kind == "single-label":
            losses = nn.functional.cross_entropy(logits, labels, label_smoothing=self.smoothing, reduction="none")
            # Not by the function's own `weight`, which weighs what smoothing gives to other classes by those classes.
            return (losses if self.weights is None else losses * self.weights[labels]).sum()
        targets = labels * (1 - self.smoothing) + self.smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1).sum()

    def right(self, logits, labels):
        """How many rows are right: the class, or all of the labels at probability 1/2."""
        if self.kind == "single-label":
            return (logits.argmax(-1) == labels).sum()
        return ((logits > 0) == (labels > 0.5)).all(-1).sum()


def balanced_weights(labels, class_count):
    """Of each class, inverse to its frequency: their mean over the rows is 1. And 1 for a class without rows."""
    counts = torch.bincount(labels, minlength=class_count)
    return torch.where(counts > 0, len(labels) / ((counts > 0).sum() * counts.clamp(min=1)), 1.0)
