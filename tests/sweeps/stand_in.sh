#!/usr/bin/env bash
# What test_ray_up.py puts in the place of programs that need a network, root or another machine.
# Linked under their names; each call is noted in $SANDBOX/log. The one node's home is $SANDBOX/node.
me=$(basename "$0")
echo "$me $*" >> "$SANDBOX/log"

case $me in
  ssh)  # options... user@host command...: runs the command here, at the node's home
    while [[ $1 != *@* ]]; do shift; done
    shift
    cd "$SANDBOX/node" && exec env HOME="$SANDBOX/node" bash -c "$*" ;;
  rsync)  # options... from to
    exclude=()
    while [ $# -gt 2 ]; do
      if [ "$1" = --exclude ]; then exclude+=("--exclude=${2/#\//./}"); shift; fi
      shift
    done
    to=${2#*:}
    to=${to/#\~/$SANDBOX/node}
    if [ -d "$1" ]; then
      mkdir -p "$to" && tar -C "$1" "${exclude[@]}" -cf - . | tar -C "$to" -xf -
    else
      mkdir -p "$(dirname "$to")" && cp "$1" "$to"
    fi ;;
  sudo)
    [ "$1" = -u ] && shift 2
    exec "$@" ;;
  psql)  # asked whether a role or a database is there
    [ -e "$SANDBOX/$(grep -oE 'pg_(roles|database)' <<< "$*")" ] && echo 1 ;;
  createuser) touch "$SANDBOX/pg_roles" ;;
  createdb) touch "$SANDBOX/pg_database" ;;
  curl) [ -e "$SANDBOX/mlflow" ] ;;
  mlflow) touch "$SANDBOX/mlflow" ;;
  python3)  # -m venv FOLDER
    if [ "$2" = venv ]; then
      mkdir -p "$3/bin"
      for name in pip ray mlflow python; do ln -sf "$(realpath "$0")" "$3/bin/$name"; done
    fi ;;
  python) PYTHONPATH=$SANDBOX/node/vpbsd exec "$PYTHON" "$@" ;;
  ray)  # `ray stop` would end every Ray on this host, and port 6379 may be taken
    if [ "$1" = stop ]; then
      pkill -KILL -f -- "$SANDBOX/ray/"
      exit 0
    fi
    shift
    exec "$(dirname "$PYTHON")/ray" start "${@/--port=6379/--port=$PORT}" \
      --temp-dir="$SANDBOX/ray" --num-cpus=1 --include-dashboard=false ;;
esac
