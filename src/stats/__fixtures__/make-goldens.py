"""Golden numbers for src/stats. Run: pip install scipy==1.17.1 && python make-goldens.py > scipy.json"""
import json
import numpy as np
import scipy
from scipy import special, stats

shapes = [(0.5, 0.5), (1, 1), (1, 300), (2.5, 7), (30, 2), (500, 500), (1, 1e6), (1e6, 1), (11, 999990), (5e5, 5e5), (1e-2, 3)]
xs = [1e-9, 1e-6, 1e-3, 0.05, 0.3, 0.5, 0.9, 0.999, 1 - 1e-6]
ps = [1e-10, 1e-4, 0.02, 0.1, 0.5, 0.9, 0.999]
trials = [(0, 1), (1, 1), (0, 45), (3, 100), (100, 100), (99, 100), (16, 500), (0, 10**6), (1, 10**6), (10, 10**6),
          (50_000, 10**6), (10**6, 10**6), (999_999, 10**6)]
rates = [1e-6, 0.01, 0.05, 0.5, 0.99]
deltas = [1e-6, 0.02, 0.1]

def keep(v):
    return float(v)

print(json.dumps({
    "made_with": f"scipy {scipy.__version__}, numpy {np.__version__}",
    "logGamma": [[x, keep(special.gammaln(x))] for x in [1e-6, 0.1, 0.5, 1.5, 3, 7.25, 15.9, 16, 100.5, 1e6, 1e9]],
    "betaTails": [[a, b, x, keep(special.betainc(a, b, x)), keep(special.betaincc(a, b, x))] for a, b in shapes for x in xs],
    "inverse": [[a, b, p, keep(special.betaincinv(a, b, p))] for a, b in shapes[:-1] for p in ps],
    "binomial": [[k, n, p, keep(stats.binom.pmf(k, n, p)), keep(stats.binom.cdf(k, n, p)), keep(stats.binom.sf(k, n, p))]
                 for k, n in trials for p in rates],
    "clopperPearson": [[k, n, d,
                        keep(special.betaincinv(k, n - k + 1, d)) if k > 0 else 0.0,
                        keep(special.betainccinv(k + 1, n - k, d)) if k < n else 1.0]
                       for k, n in trials for d in deltas],
}, indent=None))
