#!/usr/bin/env bash
#SBATCH --job-name=vpbsd
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300
# A sweep in a Slurm allocation: starts Ray on all of its nodes, and the command on the first.
#
#   sbatch --nodes=4 --gres=gpu:4 --time=24:00:00 cluster/slurm.sh vpbsd ablation --preset paper
#
# Five minutes before the limit (USR1) the command is ended in good order and the job queued again;
# it goes on from the store, which all nodes must see. TERM does the same, unless the job was
# cancelled. Whatever the command ends with by itself ends the job.
set -uo pipefail
[ $# -gt 0 ] || { echo "error: give a command, such as vpbsd ablation --preset paper" >&2; exit 2; }

nodes=$SLURM_JOB_NUM_NODES
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_ADDRESS=$head:$port RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
[ "$RAY_AUTH_MODE" = disabled ] || [ -s ~/.ray/auth_token ] || ray get-auth-token --generate >/dev/null

# In each node's task; RAY_ADDRESS there would make the head join itself.
# shellcheck disable=SC2016
on_node='
  address=$RAY_ADDRESS; unset RAY_ADDRESS
  common="--block --num-cpus=$SLURM_CPUS_ON_NODE --disable-usage-stats"
  if [ "$SLURM_NODEID" = 0 ]; then
    exec ray start --head --port="${address##*:}" --include-dashboard=false \
      --temp-dir="${VPBSD_SLURM_TMP:-/tmp}/ray-$SLURM_JOB_ID" $common
  fi
  for _ in $(seq 60); do
    ray start --address="$address" $common && exit
    sleep 2
  done'
srun --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 --kill-on-bad-exit=0 \
  bash -c "$on_node" &
cluster=$!

all_there='
import sys, time, ray
from vpbsd_sweeps.execution import cluster
last = ""
for _ in range(150):
    try:
        cluster.connect()
        if sum(node["Alive"] for node in ray.nodes()) >= int(sys.argv[1]):
            sys.exit()
    except Exception as error:
        last = f": {error}"
    time.sleep(2)
sys.exit(f"error: not all nodes joined Ray within five minutes{last}")'

signalled=
stop() { signalled=$1; [ -z "${work:-}" ] || kill -TERM "$work" 2>/dev/null; }
trap 'stop USR1' USR1
trap 'stop TERM' TERM

# A trap interrupts wait, not what is waited for.
finish() {
  local ended
  wait "$1"; ended=$?
  while kill -0 "$1" 2>/dev/null; do wait "$1"; ended=$?; done
  return "$ended"
}

python -c "$all_there" "$nodes" & work=$!
finish "$work"; code=$?
if [ "$code" = 0 ] && [ -z "$signalled" ]; then
  "$@" & work=$!
  finish "$work"; code=$?
fi
kill -TERM "$cluster" 2>/dev/null
finish "$cluster"

[ -n "$signalled" ] && [ "$code" != 0 ] || exit "$code"
state=$(scontrol show job "$SLURM_JOB_ID" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p')
[ "$state" != CANCELLED ] || exit "$code"
echo "queued again after $signalled, to go on from the store"
scontrol requeue "$SLURM_JOB_ID"
