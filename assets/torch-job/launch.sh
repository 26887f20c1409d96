#!/bin/sh
# Starts train.py under torchrun on this node. From the environment, all optional:
#   NPROC_PER_NODE   processes on this node: 1; `auto`, or `gpu` for one per GPU
#   NNODES           nodes: 1. With more, run this on each, with the job folder on storage that all of them share, and with
#   NODE_RANK        0 on the first node
#   MASTER_ADDR      name or address of the first node
#   MASTER_PORT      a free port there: 29500
#   MAX_RESTARTS     how often dead workers are started again, from the last checkpoint: 3
# Arguments are passed on to train.py.
set -eu
cd "$(dirname "$0")"
nodes="${NNODES:-1}"
if [ "$nodes" = 1 ]; then
  set -- --standalone -- train.py "$@"
else
  if [ "${NODE_RANK:?NODE_RANK is needed when NNODES is more than 1}" = 0 ]; then host=true; else host=false; fi
  set -- --rdzv-backend=c10d --rdzv-endpoint="${MASTER_ADDR:?}:${MASTER_PORT:-29500}" --rdzv-conf="is_host=$host" \
    --rdzv-id="${RUN_ID:-understudy}" -- train.py "$@"
fi
exec python3 -m torch.distributed.run --nnodes="$nodes" --nproc-per-node="${NPROC_PER_NODE:-1}" \
  --max-restarts="${MAX_RESTARTS:-3}" "$@"
