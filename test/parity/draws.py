"""Inputs drawn by a generator so small that test/engine/draws.ts has the same one."""

import math

import torch

SIZES = {"rows": 2, "columns": 3, "rows*columns": 6}


def units(seed):
    """Numbers in [0, 1): upper 16 bits of a linear congruential generator, started by a polynomial hash."""
    state = 0
    for character in seed:
        state = (state * 31 + ord(character)) % 2**32
    while True:
        state = (state * 1664525 + 1013904223) % 2**32
        yield (state >> 16) / 65536


def tensor(seed, dtype, shape, value):
    dims = [SIZES.get(dim, dim) for dim in shape]
    source = units(seed)
    values = [value(next(source), place) for place in range(math.prod(dims))]
    return torch.tensor(values, dtype=dtype).reshape(dims)


def floats(*shape):
    return torch.float64, shape, lambda unit, _: 4 * unit - 2


def positives(*shape):
    return torch.float64, shape, lambda unit, _: 0.25 + 2 * unit


def smalls(*shape):
    return torch.float64, shape, lambda unit, _: unit - 0.5


def below(bound, *shape):
    return torch.int64, shape, lambda unit, _: math.floor(unit * bound)


def flags(*shape):
    return torch.bool, shape, lambda unit, _: unit >= 0.5


def given(values, *shape):
    return torch.float64, shape, lambda _, place: values[place]


def integers(values, *shape):
    return torch.int64, shape, lambda _, place: values[place]


def rounded(values):
    """8 digits, flat."""
    return [float(f"{value:.8g}") for value in values.detach().double().flatten().tolist()]
