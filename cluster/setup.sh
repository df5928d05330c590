#!/usr/bin/env bash
# Every node: the package at the commit that `ray up` copied here, the data, what shells know.
# VPBSD_PLACE is s3://BUCKET, gs://BUCKET, or a folder that every node mounts.
set -euo pipefail
: "${VPBSD_PLACE:?set it in setup_commands, such as VPBSD_PLACE=s3://BUCKET}"
case $VPBSD_PLACE in *YOUR-*) echo "error: put your bucket or folder for $VPBSD_PLACE" >&2; exit 1 ;; esac
cd "$(dirname "$0")/.."
chmod 600 ~/.ray/auth_token

install() { sudo apt-get -o DPkg::Lock::Timeout=600 update -qq && sudo apt-get -o DPkg::Lock::Timeout=600 install -yqq "$@"; }
python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
command -v tmux >/dev/null || install tmux
[ -x ~/venv/bin/pip ] || python3 -m venv ~/venv

data=$VPBSD_PLACE/data extras=server
case $VPBSD_PLACE in
  s3://*) extras=server,s3 data=$HOME/data ;;
  gs://*) extras=server,gcs data=$HOME/data ;;
esac
~/venv/bin/pip install --quiet --constraint constraints.txt --editable ".[$extras]"
cat > ~/.vpbsd <<EOF
export PATH=\$HOME/venv/bin:\$PATH RAY_AUTH_MODE=token
export VPBSD_PLACE=$VPBSD_PLACE VPBSD_STORE=$VPBSD_PLACE/store VPBSD_DATA=$data
export VPBSD_TRACKING=http://127.0.0.1:5000
cd ~/vpbsd
EOF
grep -qs '^\. ~/.vpbsd$' ~/.bashrc || echo '. ~/.vpbsd' >> ~/.bashrc
bash cluster/data.sh
