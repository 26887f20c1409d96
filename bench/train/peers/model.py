"""The network of the comparison: BERT, mean over the mask, length 1, times a scale, one linear layer."""

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn
from transformers import BertConfig, BertModel


class Classifier(nn.Module):
    def __init__(self, encoder, classifier, scale):
        super().__init__()
        self.encoder, self.classifier, self.scale = encoder, classifier, scale

    def forward(self, ids, mask):
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state  # [batch, length, hidden]
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return self.classifier(self.scale * nn.functional.normalize(mean, dim=-1))  # [batch, classes]


def make_classifier(job):
    """From the initial tensors of the job: classifier.weight, classifier.bias, and adapters under PEFT's names."""
    config = BertConfig.from_pretrained(job["modelFolder"])
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    config.position_embedding_type = "absolute"
    encoder = BertModel.from_pretrained(
        job["modelFolder"], config=config, add_pooling_layer=False, attn_implementation="sdpa", dtype=torch.float32
    )
    initial = load_file(job["initial"])
    weight, bias = initial.pop("classifier.weight"), initial.pop("classifier.bias")
    classifier = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        classifier.weight.copy_(weight)
        classifier.bias.copy_(bias)
    if job["method"] == "lora":
        encoder = get_peft_model(encoder, lora_config(job))
        check_names(set_peft_model_state_dict(encoder, initial), set(get_peft_model_state_dict(encoder)), set(initial))
    elif job["method"] == "head":
        encoder.requires_grad_(False)
    elif job["method"] == "full":
        freeze_below(encoder, job["layers"])
    else:
        raise ValueError(f"method {job['method']}")
    model = Classifier(encoder, classifier, job["scale"])
    # Without dropout both modes compute the same; PyTorch's fast path for inference must not be taken while measuring.
    return model.train()


def lora_config(job):
    return LoraConfig(
        r=job["rank"],
        lora_alpha=job["alpha"],
        target_modules=job["targetModules"],
        layers_to_transform=job["layers"],
        lora_dropout=0.0,
        bias="none",
    )


def check_names(loaded, wanted, given):
    if loaded.unexpected_keys or wanted != given:
        raise ValueError(f"adapters in the job but not here: {sorted(given - wanted)}; missing: {sorted(wanted - given)}")


def freeze_below(encoder, layers):
    """null: everything trains; otherwise only the layers listed."""
    if layers is None:
        return
    encoder.requires_grad_(False)
    for layer in layers:
        encoder.encoder.layer[layer].requires_grad_(True)


def trainable_tensors(model, method):
    """Under the names that the initial tensors have; a full fine-tune under those of BertModel."""
    tensors = {f"classifier.{name}": value for name, value in model.classifier.named_parameters()}
    if method == "lora":
        tensors |= get_peft_model_state_dict(model.encoder)
    elif method == "full":
        tensors |= {name: value for name, value in model.encoder.named_parameters() if value.requires_grad}
    return {name: value.detach().contiguous() for name, value in tensors.items()}
