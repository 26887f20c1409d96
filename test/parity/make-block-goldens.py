"""Writes goldens/blocks.json: losses and gradients of a tiny BERT and a tiny Llama as transformers computes them.

  python3 -m venv .cache/parity-venv
  .cache/parity-venv/bin/pip install torch==2.13.0 transformers==5.24.0
  .cache/parity-venv/bin/python test/parity/make-block-goldens.py

Weights and inputs are drawn as test/engine/blocks.ts draws them, under the same names. It knows nothing of Understudy.
"""

import json
from pathlib import Path

import torch
import transformers
from draws import below, floats, integers, positives, rounded, smalls, tensor
from torch.nn import functional as F


def with_drawn_weights(model, block):
    """Norms of positive scale, all else small; in double precision."""
    model = model.double().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            is_scale = "norm" in name.lower() and name.endswith("weight")
            draw = (positives if is_scale else smalls)(*weight.shape)
            weight.copy_(tensor(f"{block}/{name}", *draw))
    return model


def golden(loss, named):
    gradients = torch.autograd.grad(loss, [weight for _, weight in named])
    return {
        "loss": rounded(loss)[0],
        "gradients": {
            name: rounded(gradient)
            for (name, _), gradient in zip(named, gradients, strict=True)
        },
    }


def bert():
    """Two layers, mean over the tokens that are there, unit length; one text is padded."""
    config = transformers.BertConfig(
        vocab_size=7,
        hidden_size=4,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=6,
        max_position_embeddings=5,
        type_vocab_size=1,
        pad_token_id=None,
        attn_implementation="eager",
    )
    model = transformers.BertModel(config, add_pooling_layer=False)
    model = with_drawn_weights(model, "bert")
    with torch.no_grad():
        model.embeddings.token_type_embeddings.weight.zero_()
    ids = tensor("bert/ids", *below(7, "rows", "columns"))
    mask = tensor("bert/mask", *integers([1, 1, 1, 1, 1, 0], "rows", "columns"))
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    present = mask.unsqueeze(-1).double()
    embedding = F.normalize((hidden * present).sum(1) / present.sum(1), dim=-1)
    loss = (embedding * tensor("bert/cotangent", *floats("rows", 4))).sum()
    return golden(
        loss, [one for one in model.named_parameters() if "token_type" not in one[0]]
    )


def llama():
    """One layer with two queries to a key, and the cross-entropy of given next tokens."""
    config = transformers.LlamaConfig(
        vocab_size=5,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=4,
        intermediate_size=5,
        max_position_embeddings=5,
        rms_norm_eps=1e-6,
        attn_implementation="eager",
    )
    model = with_drawn_weights(transformers.LlamaForCausalLM(config), "llama")
    ids = tensor("llama/ids", *below(5, "rows", "columns"))
    labels = tensor("llama/labels", *below(5, "rows", "columns"))
    logits = model(input_ids=ids).logits
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    return golden(loss, list(model.named_parameters()))


def main():
    blocks = {"bert": bert(), "llama": llama()}
    versions = {
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
    }
    path = Path(__file__).parent / "goldens" / "blocks.json"
    path.write_text(json.dumps({"versions": versions, "blocks": blocks}) + "\n")


if __name__ == "__main__":
    main()
