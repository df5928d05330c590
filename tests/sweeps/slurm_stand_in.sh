#!/usr/bin/env bash
# Plays srun and scontrol on this host; test_slurm.py puts it first in PATH under these names.
case $(basename "$0") in
  srun)
    nodes=1
    while [[ $1 == --* ]]; do [[ $1 == --nodes=* ]] && nodes=${1#*=}; shift; done
    set -m # Slurm signals all processes of a task
    tasks=() ended=
    stop() { ended=1; for task in "${tasks[@]}"; do kill -TERM -- "$task" 2>/dev/null; done; }
    trap stop TERM
    for ((n = 0; n < nodes; n++)); do
      [ -n "$ended" ] || { SLURM_NODEID=$n "$@" & tasks+=("-$!"); }
    done
    [ -z "$ended" ] || stop
    for task in "${tasks[@]}"; do while kill -0 "${task#-}" 2>/dev/null; do wait "${task#-}"; done; done ;;
  scontrol)
    echo "$*" >> "$SLURM_LOG"
    case "$*" in
      "show hostnames "*) printf '127.0.0.1\n127.0.0.2\n' ;;
      "show job "*) echo "   JobState=${SLURM_STATE:-RUNNING} Reason=None" ;;
    esac ;;
esac
