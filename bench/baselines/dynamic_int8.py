"""PyTorch's dynamic int8 quantisation of an encoder beside its float32: one text of 16 tokens, blocks taking turns.

  python bench/baselines/dynamic_int8.py MODEL_FOLDER
"""

import io
import statistics
import sys
import time
import warnings

import torch
from transformers import AutoModel

warnings.filterwarnings("ignore")
torch.set_grad_enabled(False)
ROUNDS, BLOCK = 30, 9


def size_mb(model):
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.tell() / 1e6


def main():
    exact = AutoModel.from_pretrained(sys.argv[1]).eval()
    small = torch.ao.quantization.quantize_dynamic(exact, {torch.nn.Linear}, torch.qint8)
    ids = torch.arange(1000, 1000 + 37 * 16, 37)[None]
    feeds = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    models = {"float32": exact, "int8": small}
    pooled = {name: model(**feeds)[0].mean(1) for name, model in models.items()}
    cosine = torch.cosine_similarity(pooled["float32"], pooled["int8"]).item()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        times = {name: [] for name in models}
        for _ in range(ROUNDS):
            for name, model in models.items():
                for call in range(BLOCK):
                    start = time.perf_counter()
                    model(**feeds)
                    if call > 0:
                        times[name].append((time.perf_counter() - start) * 1000)
        for name, one in times.items():
            p50, p10 = statistics.median(one), statistics.quantiles(one, n=10)[0]
            base = times["float32"]
            print(
                f"PyTorch {torch.__version__}, {threads} threads  {name:8} p50 {p50:.2f} ms  p10 {p10:.2f} ms  "
                f"times faster: p50 {statistics.median(base) / p50:.2f}  "
                f"p10 {statistics.quantiles(base, n=10)[0] / p10:.2f}  {size_mb(models[name]):.1f} MB"
            )
    print(f"PyTorch int8 against float32, mean-pooled: cosine {cosine:.4f}")


if __name__ == "__main__":
    main()
