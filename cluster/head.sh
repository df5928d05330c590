#!/usr/bin/env bash
# The head: PostgreSQL and MLflow's server, both reached from this very host only, so there is no
# password: PostgreSQL knows the user by its socket. Harmless where they run already.
set -euo pipefail
# shellcheck source=/dev/null
. ~/.vpbsd
me=$(id -un)
command -v psql >/dev/null || sudo apt-get -o DPkg::Lock::Timeout=600 install -yqq postgresql
as_postgres() { (cd / && sudo -u postgres "$@"); }
as_postgres psql -qtAc "select 1 from pg_roles where rolname = '$me'" | grep -q 1 || as_postgres createuser "$me"
as_postgres psql -qtAc "select 1 from pg_database where datname = 'mlflow'" | grep -q 1 || as_postgres createdb --owner "$me" mlflow

healthy() { curl --silent --fail --max-time 5 "$VPBSD_TRACKING/health" >/dev/null; }
healthy && exit 0
MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false nohup setsid ~/venv/bin/mlflow server \
  --host 127.0.0.1 --port 5000 --workers 1 \
  --backend-store-uri "postgresql+psycopg:///mlflow?host=/var/run/postgresql" \
  --artifacts-destination "$VPBSD_PLACE/mlflow" >> ~/mlflow.log 2>&1 < /dev/null &
for _ in $(seq 60); do
  if healthy; then exit 0; fi
  sleep 2
done
echo "error: MLflow does not answer at $VPBSD_TRACKING; the end of ~/mlflow.log:" >&2
tail -n 5 ~/mlflow.log >&2
exit 1
