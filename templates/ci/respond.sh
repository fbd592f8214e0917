#!/usr/bin/env bash
# What the alarm templates run with a role that can read AWS and the cluster: HEADROOM_EVENT is judged first, and what is
# used of it has passed that.
set -euo pipefail
export PYTHONPATH="$HEADROOM"
cluster=$(python -m headroom.cli respond --print cluster)
region=$(python -m headroom.cli respond --print region)
aws eks update-kubeconfig --name "$cluster" --region "$region"
# 0: done, 2: bad input, 3: undecided, and a person has to look
python -m headroom.cli respond --folder proposal
