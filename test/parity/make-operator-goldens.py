"""Writes goldens/operators.json: what PyTorch makes of every line of test/engine/operator-cases.ts, in double precision.

  python3 -m venv .cache/parity-venv
  .cache/parity-venv/bin/pip install torch==2.13.0
  .cache/parity-venv/bin/python test/parity/make-operator-goldens.py

For each line: results, and gradients of sum(first result * cotangent) with respect to the float inputs. Inputs are not in
the file: both sides draw them alike (test/engine/draws.ts). It knows nothing of Understudy.
"""

import json
from pathlib import Path

import torch
from draws import below, flags, floats, given, integers, positives, rounded, tensor
from torch.nn import functional as F


def layer_norm(axes, epsilon):
    """The normalised values, then mean and reciprocal deviation."""

    def run(x, scale, bias=None):
        along = tuple(range(-axes, 0))
        mean = x.mean(along, keepdim=True)
        inverse = 1 / torch.sqrt(x.var(along, keepdim=True, correction=0) + epsilon)
        return F.layer_norm(x, scale.shape, scale, bias, epsilon), mean, inverse

    return run


def rms_norm(epsilon):
    """The normalised values, then the reciprocal root."""

    def run(x, scale):
        return (
            F.rms_norm(x, scale.shape, scale, epsilon),
            1 / torch.sqrt(x.square().mean(-1, keepdim=True) + epsilon),
        )

    return run


def first(run):
    return lambda *inputs: run(*inputs)[0]


def rotary(interleaved=False, turning=None):
    def run(x, at, cosines, sines):
        batch, heads, length, size = x.shape
        if at.dim() == 1:
            at = (at[0] + torch.arange(length)).expand(batch, length)
        c, s = cosines[at].unsqueeze(1), sines[at].unsqueeze(1)
        part = x[..., :turning]
        if interleaved:
            a, b = part[..., 0::2], part[..., 1::2]
            turned = torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2)
        else:
            a, b = part.chunk(2, -1)
            turned = torch.cat([a * c - b * s, a * s + b * c], -1)
        return turned if turning is None else torch.cat([turned, x[..., turning:]], -1)

    return run


def gemm(turn_a=False, turn_b=False, alpha=1.0, beta=1.0):
    def run(a, b, c=None):
        product = alpha * ((a.T if turn_a else a) @ (b.T if turn_b else b))
        return product if c is None else product + beta * c

    return run


def fused(turn_a=False, turn_b=False, alpha=1.0):
    return lambda a, b: alpha * ((a.mT if turn_a else a) @ (b.mT if turn_b else b))


def top(k, axis=-1):
    def run(x):
        found = torch.topk(x, k, axis)
        return found.values, found.indices

    return run


def wrapped(at, size):
    return torch.where(at < 0, at + size, at)


def gather(axis=0):
    def run(x, at):
        flat = torch.index_select(x, axis, wrapped(at, x.shape[axis]).reshape(-1))
        axis_from_start = axis % x.dim()
        return flat.reshape(
            *x.shape[:axis_from_start], *at.shape, *x.shape[axis_from_start + 1 :]
        )

    return run


def gather_elements(axis):
    return lambda x, at: torch.gather(x, axis, wrapped(at, x.shape[axis]))


def quantise(x):
    """uint8 by the range of all values, 0 included, as ONNX defines DynamicQuantizeLinear."""
    x = x.detach()
    least, most = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (most - least) / 255
    zero = torch.round(-least / scale)
    return (torch.round(x / scale) + zero).clamp(0, 255), scale, zero


def quantised_product(x, b, scale, bias=0):
    values, x_scale, zero = quantise(x)
    return (values - zero) @ b.double() * (x_scale * scale) + bias


def packed_product(a, packed, scales, bias):
    """Two numbers to a byte, the low half first; 8 stands for zero."""
    halves = torch.stack([packed % 16, packed // 16], -1).flatten(-2) - 8
    weight = (halves * scales.reshape(3, 2, 1)).flatten(1)
    return a @ weight.T + bias


def gather_packed(at, scale):
    packed = torch.tensor([(i * 37 + 11) % 256 for i in range(64)]).reshape(4, 16)
    halves = torch.stack([packed % 16, packed // 16], -1).flatten(-2)
    signed = torch.where(halves < 8, halves, halves - 16)
    return (signed * scale.repeat_interleave(16, -1))[at]


def attention(query, key, value, mask):
    split = lambda x: x.unflatten(-1, (2, 2)).transpose(1, 2)
    mixed = F.scaled_dot_product_attention(
        split(query), split(key), split(value), mask.bool()[:, None, None, :]
    )
    return mixed.transpose(1, 2).flatten(-2)


def l2(*args, **options):
    return lambda x: torch.linalg.vector_norm(x, 2, *args, **options)


def quick_gelu(alpha):
    return lambda x: x * torch.sigmoid(alpha * x)


CASES = {
    "Add": ([floats(2, 3), floats(2, 3)], torch.add),
    "Add a row": ([floats(2, 3), floats(3)], torch.add),
    "Add a column": ([floats(2, 1), floats(2, 3)], torch.add),
    "Add both ways": ([floats(2, 1, 3), floats(4, 1)], torch.add),
    "Add a scalar": ([floats(2, 3), floats()], torch.add),
    "Add named sizes": ([floats("rows", 3), floats("rows", 1)], torch.add),
    "Add integers": ([below(9, 2, 3), below(9, 3)], torch.add),
    "Sub": ([floats(2, 3), floats(2, 3)], torch.sub),
    "Sub from a column": ([floats(2, 1), floats(2, 3)], torch.sub),
    "Mul": ([floats(2, 3), floats(2, 3)], torch.mul),
    "Mul both ways": ([floats(2, 1, 3), floats(4, 1)], torch.mul),
    "Mul by itself": ([floats(2, 3)], lambda x: x * x),
    "Div": ([floats(2, 3), positives(2, 3)], torch.div),
    "Div by a row": ([floats(2, 3), positives(3)], torch.div),
    "Div of a row": ([floats(3), positives(2, 3)], torch.div),
    "Div of integers": (
        [integers([7, -7, 6, -1], 4)],
        lambda x: torch.div(x, 3, rounding_mode="trunc"),
    ),
    "Pow": ([positives(2, 3), floats(2, 3)], torch.pow),
    "Pow both ways": ([positives(2, 1), floats(3)], torch.pow),
    "Pow to 2": ([floats(2, 3)], lambda x: x**2),
    "Pow to 3": ([floats(2, 3)], lambda x: x**3),
    "Pow to a half": ([positives(2, 3)], lambda x: x**0.5),
    "Pow to -1.5": ([positives(2, 3)], lambda x: x**-1.5),
    "Pow of zero to what trains": ([given([0, 0, 2], 3), given([2, 1, 0], 3)], torch.pow),
    "Pow of zero to 2": ([given([0, 1, -1], 3)], lambda x: x**2),
    "Max": ([floats(2, 3), floats(2, 3)], torch.maximum),
    "Max of a scalar": (
        [floats(2, 3)],
        lambda x: torch.maximum(x, torch.tensor(0.5, dtype=x.dtype)),
    ),
    "Max of both ways": ([floats(2, 1), floats(3)], torch.maximum),
    "Max of ties": ([given([1, 2, 3], 3), given([1, 3, 2], 3)], torch.maximum),
    "Min": ([floats(2, 3), floats(2, 3)], torch.minimum),
    "Min of both ways": ([floats(2, 1), floats(3)], torch.minimum),
    "Min of ties": ([given([1, 2, 3], 3), given([1, 3, 2], 3)], torch.minimum),
    "Equal": ([below(3, 2, 3), below(3, 3)], torch.eq),
    "Equal floats": ([given([1, 2, 0], 3), given([1, 3, -0.0], 3)], torch.eq),
    "Greater": ([floats(2, 3), floats(3)], torch.gt),
    "Less": ([below(3, 2, 3), below(3, 2, 1)], torch.lt),
    "Abs": ([floats(2, 3)], torch.abs),
    "Abs at zero": ([given([0, -1, 2], 3)], torch.abs),
    "Neg": ([floats(2, 3)], torch.neg),
    "Exp": ([floats(2, 3)], torch.exp),
    "Exp of named sizes": ([floats("rows", "columns")], torch.exp),
    "Log": ([positives(2, 3)], torch.log),
    "Sqrt": ([positives(2, 3)], torch.sqrt),
    "Reciprocal": ([positives(2, 3)], torch.reciprocal),
    "Tanh": ([floats(2, 3)], torch.tanh),
    "Sigmoid": ([floats(2, 3)], torch.sigmoid),
    "Sigmoid far out": ([given([-80, -20, 20, 80], 4)], torch.sigmoid),
    "Relu": ([floats(2, 3)], torch.relu),
    "Relu at zero": ([given([0, -1, 2], 3)], torch.relu),
    "Erf": ([floats(2, 3)], torch.erf),
    "Sin": ([floats(2, 3)], torch.sin),
    "Cos": ([floats(2, 3)], torch.cos),
    "Sign": ([given([0, -1.5, 2], 3)], torch.sign),
    "Gelu": ([floats(2, 3)], F.gelu),
    "Gelu far out": ([given([-9, -3, 0, 3, 9], 5)], F.gelu),
    "Gelu by tanh": ([floats(2, 3)], lambda x: F.gelu(x, approximate="tanh")),
    "Gelu by tanh far out": (
        [given([-9, -3, 0, 3, 9], 5)],
        lambda x: F.gelu(x, approximate="tanh"),
    ),
    "QuickGelu": ([floats(2, 3)], F.silu),
    "QuickGelu of 1.702": ([floats(2, 3)], quick_gelu(1.702)),
    "QuickGelu far out": ([given([-60, -3, 0, 3, 60], 5)], F.silu),
    "QuickGelu as the runtime has it": ([floats(2, 3)], quick_gelu(1.702)),
    "Identity": ([floats(2, 3)], lambda x: x * 1),
    "Where": ([flags(2, 3), floats(2, 3), floats(2, 3)], torch.where),
    "Where both ways": ([flags(2, 1), floats(3), floats()], torch.where),
    "Where named sizes": ([flags("rows", 1), floats("rows", 3), floats(3)], torch.where),
    "Cast to integers": ([given([-1.75, -0.5, 0.5, 2.75], 4)], lambda x: x.long()),
    "Cast of integers": ([below(9, 2, 3)], lambda x: x.double()),
    "Cast of flags": ([flags(2, 3)], lambda x: x.double()),
    "Cast to flags": ([given([0, -0.5, 2], 3)], lambda x: x.bool()),
    "Cast by way of halves": ([given([0.5, -1.25, 3], 3)], lambda x: x.half().double()),
    "Softmax": ([floats(2, 3)], lambda x: F.softmax(x, -1)),
    "Softmax along 1": ([floats(2, 3, 2)], lambda x: F.softmax(x, 1)),
    "Softmax of named sizes": ([floats("rows", "columns")], lambda x: F.softmax(x, -1)),
    "Softmax of large numbers": (
        [given([900, 901, -900, 902], 2, 2)],
        lambda x: F.softmax(x, -1),
    ),
    "LogSoftmax": ([floats(2, 3)], lambda x: F.log_softmax(x, -1)),
    "LogSoftmax along 0": ([floats(2, 3)], lambda x: F.log_softmax(x, 0)),
    "LogSoftmax of large numbers": (
        [given([900, 901, -900, 902], 2, 2)],
        lambda x: F.log_softmax(x, -1),
    ),
    "ReduceSum": ([floats(2, 3)], lambda x: x.sum((0, 1), keepdim=True)),
    "ReduceSum along 1": ([floats(2, 3)], lambda x: x.sum(1, keepdim=True)),
    "ReduceSum along -2, dropped": ([floats(2, 3)], lambda x: x.sum(-2)),
    "ReduceSum along two, dropped": ([floats(2, 3, 2)], lambda x: x.sum((-1, 0))),
    "ReduceSum of all, dropped": ([floats(2, 3)], torch.sum),
    "ReduceSum along no axis named": ([floats(2, 3)], torch.sum),
    "ReduceSum of named sizes": ([floats("rows", "columns")], lambda x: x.sum(0)),
    "ReduceSum of integers": ([below(9, 2, 3)], lambda x: x.sum(1, keepdim=True)),
    "ReduceMean": ([floats(2, 3)], lambda x: x.mean((0, 1), keepdim=True)),
    "ReduceMean along 1": ([floats(2, 3)], lambda x: x.mean(1, keepdim=True)),
    "ReduceMean along two, dropped": ([floats(2, 3, 2)], lambda x: x.mean((0, -1))),
    "ReduceMean of all, dropped": ([floats(2, 3)], torch.mean),
    "ReduceMean of named sizes": (
        [floats("rows", "columns", 2)],
        lambda x: x.mean((0, 1)),
    ),
    "ReduceMean along no axis named": ([floats(2, 3)], torch.mean),
    "ReduceMax": ([floats(2, 3)], lambda x: x.amax((0, 1), keepdim=True)),
    "ReduceMax along 1": ([floats(2, 3)], lambda x: x.amax(1, keepdim=True)),
    "ReduceMax along -2, dropped": ([floats(2, 3)], lambda x: x.amax(-2)),
    "ReduceMax of all, dropped": ([floats(2, 3)], torch.amax),
    "ReduceMax of two ties": (
        [given([2, 1, 2, 0, 3, 3], 2, 3)],
        lambda x: x.amax(1, keepdim=True),
    ),
    "ReduceMax of three ties": ([given([2, 2, 2, 0, 0, 0], 2, 3)], lambda x: x.amax(1)),
    "ReduceL2": ([floats(2, 3)], l2((0, 1), keepdim=True)),
    "ReduceL2 along 1": ([floats(2, 3)], l2(1, keepdim=True)),
    "ReduceL2 along 0, dropped": ([floats("rows", 3)], l2(0)),
    "ReduceL2 of zeros": ([given([0, 0, 1, 2], 2, 2)], l2(1, keepdim=True)),
    "ReduceSumSquare": ([floats(2, 3)], lambda x: x.square().sum((0, 1), keepdim=True)),
    "ReduceSumSquare along 1, dropped": ([floats(2, 3)], lambda x: x.square().sum(1)),
    "ArgMax": ([floats(2, 3)], lambda x: x.argmax(1, keepdim=True)),
    "ArgMax along -2, dropped": ([floats(2, 3)], lambda x: x.argmax(-2)),
    "ArgMax of ties": (
        [given([1, 4, 4, 2, 2, 0], 2, 3)],
        lambda x: x.argmax(1, keepdim=True),
    ),
    "TopK": ([floats(2, 5)], top(2)),
    "TopK along 0": ([floats(4, 3)], top(3, 0)),
    "TopK of named sizes": ([floats("rows", 5)], top(1)),
    "LayerNormalization": (
        [floats(2, 3, 4), floats(4), floats(4)],
        first(layer_norm(1, 1e-5)),
    ),
    "LayerNormalization of named sizes": (
        [floats("rows", "columns", 4), floats(4), floats(4)],
        first(layer_norm(1, 1e-2)),
    ),
    "LayerNormalization over two axes": (
        [floats(2, 3, 4), floats(3, 4), floats(3, 4)],
        layer_norm(2, 1e-5),
    ),
    "LayerNormalization without bias": (
        [floats(2, 4), floats(4)],
        layer_norm(1, 1e-5),
    ),
    "SimplifiedLayerNormalization": (
        [floats(2, 3, 4), floats(4)],
        first(rms_norm(1e-5)),
    ),
    "SimplifiedLayerNormalization with its statistics": (
        [floats("rows", 4), floats(4)],
        rms_norm(1e-2),
    ),
    "MatMul": ([floats(2, 3), floats(3, 4)], torch.matmul),
    "MatMul in batches": ([floats(2, 2, 3), floats(2, 3, 2)], torch.matmul),
    "MatMul by a shared matrix": ([floats(2, 2, 3), floats(3, 2)], torch.matmul),
    "MatMul of a shared matrix": ([floats(2, 3), floats(2, 3, 2)], torch.matmul),
    "MatMul both ways": ([floats(2, 1, 2, 3), floats(3, 3, 2)], torch.matmul),
    "MatMul of named sizes": (
        [floats("rows", "columns", 3), floats(3, 2)],
        torch.matmul,
    ),
    "MatMul in named batches": (
        [floats("rows", 2, 3), floats("rows", 3, 2)],
        torch.matmul,
    ),
    "Gemm": ([floats(2, 3), floats(3, 4)], gemm()),
    "Gemm and a row": ([floats("rows", 3), floats(3, 4), floats(4)], gemm()),
    "Gemm and a column": ([floats(2, 3), floats(3, 4), floats(2, 1)], gemm()),
    "Gemm and a scalar": (
        [floats(2, 3), floats(3, 4), floats()],
        gemm(alpha=0.5, beta=2),
    ),
    "Gemm and a matrix": (
        [floats(2, 3), floats(3, 4), floats(2, 4)],
        gemm(alpha=0.5, beta=2),
    ),
    "Gemm, first turned": (
        [floats(3, 2), floats(3, 4), floats(4)],
        gemm(turn_a=True, alpha=0.5, beta=2),
    ),
    "Gemm, second turned": (
        [floats(2, 3), floats(4, 3), floats(4)],
        gemm(turn_b=True, alpha=0.5, beta=2),
    ),
    "Gemm, both turned": (
        [floats(3, 2), floats(4, 3), floats(4)],
        gemm(turn_a=True, turn_b=True, alpha=0.5, beta=2),
    ),
    "FusedMatMul": ([floats(2, 3), floats(3, 4)], fused(alpha=0.5)),
    "FusedMatMul, first turned": (
        [floats(3, 2), floats(3, 4)],
        fused(turn_a=True, alpha=0.5),
    ),
    "FusedMatMul, second turned, in batches": (
        [floats(2, 2, 2, 3), floats(2, 2, 4, 3)],
        fused(turn_b=True, alpha=0.5),
    ),
    "FusedMatMul, both turned, in batches": (
        [floats(2, 3, 2), floats(2, 4, 3)],
        fused(turn_a=True, turn_b=True, alpha=0.5),
    ),
    "FusedMatMul, first turned, by a shared matrix": (
        [floats(2, 3, 2), floats(3, 4)],
        fused(turn_a=True),
    ),
    "FusedMatMul, second turned, by a shared matrix": (
        [floats("rows", "columns", 3), floats(4, 3)],
        fused(turn_b=True, alpha=2),
    ),
    "FusedMatMul, both turned, of a shared matrix": (
        [floats(3, 2), floats(2, 4, 3)],
        fused(turn_a=True, turn_b=True),
    ),
    "RotaryEmbedding": (
        [floats(2, 2, 3, 4), below(5, 2, 3), floats(5, 2), floats(5, 2)],
        rotary(),
    ),
    "RotaryEmbedding interleaved": (
        [
            floats("rows", 2, "columns", 4),
            below(5, "rows", "columns"),
            floats(5, 2),
            floats(5, 2),
        ],
        rotary(interleaved=True),
    ),
    "RotaryEmbedding of the first features": (
        [floats(2, 2, 3, 6), below(5, 2, 3), floats(5, 2), floats(5, 2)],
        rotary(turning=4),
    ),
    "RotaryEmbedding from one position on": (
        [floats(2, 1, 3, 4), integers([1], 1), floats(5, 2), floats(5, 2)],
        rotary(),
    ),
    "Shape": ([floats("rows", 3)], lambda x: torch.tensor(x.shape)),
    "Shape from 1": ([floats("rows", "columns")], lambda x: torch.tensor(x.shape[1:])),
    "Shape of the last": ([floats(2, 3)], lambda x: torch.tensor(x.shape[-1:])),
    "Reshape": ([floats(2, 3, 2)], lambda x: x.reshape(2, -1)),
    "Reshape flat": ([floats("rows", "columns")], lambda x: x.reshape(-1)),
    "Reshape as another": (
        [floats("rows*columns", 2), floats("rows", "columns")],
        lambda x, like: x.reshape(*like.shape, 2),
    ),
    "Expand": ([floats(1, 3)], lambda x: x.expand(2, 3)),
    "Expand in front": ([floats(3, 1)], lambda x: x.expand(2, 3, 4)),
    "Expand as another": (
        [floats(3), floats("rows", 3)],
        lambda x, like: x.expand(like.shape),
    ),
    "Transpose": ([floats(2, 3)], lambda x: x.permute(1, 0)),
    "Transpose three": ([floats("rows", 3, 4)], lambda x: x.permute(1, 2, 0)),
    "Unsqueeze": ([floats("rows", 3)], lambda x: x[None, :, :, None]),
    "Squeeze": ([floats(1, "rows", 1, 3)], lambda x: x.squeeze(-2).squeeze(0)),
    "Concat": ([floats(2, 3), floats(1, 3)], lambda *parts: torch.cat(parts, 0)),
    "Concat along -1": (
        [floats("rows", 3), floats("rows", 1)],
        lambda *parts: torch.cat(parts, -1),
    ),
    "Concat of three": (
        [floats(2), floats(1), floats(2)],
        lambda *parts: torch.cat(parts, 0),
    ),
    "Concat of one twice": ([floats(2, 2)], lambda x: torch.cat([x, x], 1)),
    "Concat of sizes": (
        [floats("rows", 3)],
        lambda x: torch.tensor([x.shape[0], 7]),
    ),
    "Slice": ([floats(2, 4)], lambda x: x[:, 1:3]),
    "Slice from the end": ([floats(2, 4)], lambda x: x[:, -2:-1]),
    "Slice beyond the end": ([floats("rows", 4)], lambda x: x[:, 1:100]),
    "Slice of two axes": ([floats(3, 4)], lambda x: x[1:3, 0:2]),
    "Slice in steps": ([floats(2, 5)], lambda x: x[:, 0:5:2]),
    "Slice to a named size": (
        [floats(4, 2), floats("rows", 3)],
        lambda x, like: x[: like.shape[0]],
    ),
    "Slice along 1 to a named size": (
        [floats(2, 5), floats("rows", 3)],
        lambda x, like: x[:, : like.shape[0]],
    ),
    "Pad": ([floats(2, 3)], lambda x: F.pad(x, (1, 2, 0, 0))),
    "Pad before": ([floats("rows", 3)], lambda x: F.pad(x, (1, 0, 0, 0))),
    "Pad to cut": ([floats(2, 4)], lambda x: F.pad(x, (-1, 0, 1, 0))),
    "Gather": ([floats(4, 2), integers([3, 0, 3, 1, 3, 3], 2, 3)], gather()),
    "Gather of named sizes": ([floats(4, 2), below(4, "rows", "columns")], gather()),
    "Gather along 1": ([floats("rows", 4, 2), integers([2, 0, 2], 3)], gather(1)),
    "Gather along -1": ([floats(2, 3), integers([1, 2, 1, 0], 2, 2)], gather(-1)),
    "Gather one": ([floats(2, 3), integers([2])], gather(1)),
    "Gather from the end": ([floats(4, 2), integers([-1, 1, -1], 3)], gather()),
    "GatherElements": (
        [floats(2, 3), integers([2, 2, 0, 1], 2, 2)],
        gather_elements(1),
    ),
    "GatherElements along 0": (
        [floats(3, 2), integers([2, 1, 2, 0], 2, 2)],
        gather_elements(0),
    ),
    "GatherElements along -1, of fewer rows": (
        [floats(3, 3), integers([-1, 0], 1, 2)],
        gather_elements(-1),
    ),
    "ScatterElements": (
        [floats(2, 3), integers([2, 2, 0, 1], 2, 2), floats(2, 2)],
        lambda x, at, updates: x.scatter_add(1, at, updates),
    ),
    "ScatterElements along 0": (
        [floats(3, 2), integers([2, 1, 2, 0], 2, 2), floats(2, 2)],
        lambda x, at, updates: x.scatter_add(0, at, updates),
    ),
    "ScatterElements that replaces": (
        [floats(2, 3), integers([2, 0, 1, 0], 2, 2), floats(2, 2)],
        lambda x, at, updates: x.scatter(1, at, updates),
    ),
    "DynamicQuantizeLinear": ([floats(2, 3)], quantise),
    "DynamicQuantizeLinear of positive numbers": ([positives(2, 3)], quantise),
    "DequantizeLinear": (
        [below(256, 2, 3), positives(3), below(256, 3)],
        lambda x, scale, zero: (x - zero) * scale,
    ),
    "DequantizeLinear by one scale": (
        [below(127, "rows", 3), positives()],
        lambda x, scale: x * scale,
    ),
    "MatMulInteger": (
        [below(128, 2, 4), below(64, 4, 3), below(128)],
        lambda a, b, zero: (a - zero) @ b,
    ),
    "MatMulInteger of named sizes": (
        [below(256, "rows", "columns", 4), below(128, 4, 3), below(128)],
        lambda a, b, zero: a @ (b - zero),
    ),
    "MatMulIntegerToFloat": (
        [
            below(128, 2, 4),
            below(64, 4, 3),
            positives(),
            positives(3),
            below(128),
            floats(3),
        ],
        lambda a, b, x, y, zero, bias: (a - zero) @ b * (x * y) + bias,
    ),
    "DynamicQuantizeMatMul": (
        [floats(2, 4), below(64, 4, 3), positives(3), floats(3)],
        quantised_product,
    ),
    "DynamicQuantizeMatMul of named sizes": (
        [floats("rows", "columns", 4), below(64, 4, 3), positives(1)],
        quantised_product,
    ),
    "MatMulNBits": (
        [floats(2, 64), below(256, 3, 2, 16), positives(6), floats(3)],
        packed_product,
    ),
    "GatherBlockQuantized": (
        [integers([3, 0, 3, 1], 2, 2), positives(4, 2)],
        gather_packed,
    ),
    "MultiHeadAttention": (
        [
            floats("rows", "columns", 4),
            floats("rows", "columns", 4),
            floats("rows", "columns", 4),
            integers([1, 1, 0, 1, 1, 1], "rows", "columns"),
        ],
        attention,
    ),
}


def run(name, draws, build):
    inputs = [tensor(f"{name}/{i}", *one) for i, one in enumerate(draws)]
    leaves = [one.requires_grad_() for one in inputs if one.is_floating_point()]
    results = build(*inputs)
    results = results if isinstance(results, tuple) else (results,)
    golden = {"results": [rounded(one) for one in results]}
    if results[0].requires_grad:
        cotangent = tensor(f"{name}/cotangent", *floats(*results[0].shape))
        loss = (results[0] * cotangent).sum()
        found = torch.autograd.grad(loss, leaves, materialize_grads=True)
        golden["gradients"] = [rounded(one) for one in found]
    return golden


def main():
    goldens = {name: run(name, *case) for name, case in CASES.items()}
    lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in goldens.items()]
    text = '{\n"torch": %s,\n"cases": {\n%s\n}\n}\n' % (
        json.dumps(torch.__version__.split("+")[0]),
        ",\n".join(lines),
    )
    (Path(__file__).parent / "goldens" / "operators.json").write_text(text)


if __name__ == "__main__":
    main()
