#!/usr/bin/env bash
# Ends the jobs and then the daemons of the SLURM in DIR, by their process ids.
set -uo pipefail
[ $# = 1 ] && [ -f "$1/slurm.conf" ] || { echo "usage: $0 DIR (as given to start.sh)" >&2; exit 2; }
dir=$(cd "$1" && pwd)
export SLURM_CONF=$dir/slurm.conf
# Jobs first: they would outlive the daemons.
if [ -s "$dir/slurmctld.pid" ]; then
  scancel --user="$(id -un)" 2>/dev/null
  for _ in $(seq 100); do
    [ -z "$(squeue -h 2>/dev/null)" ] && break
    sleep 0.1
  done
fi
for node in n1 n2; do "$(dirname "$0")/crash-node.sh" "$dir" $node KILL; done
for file in "$dir/slurmctld.pid" "$dir/munge/munged.pid"; do
  daemon=$(cat "$file" 2>/dev/null)
  grep -qsE '(^|/)(slurmctld|munged)' "/proc/${daemon:-none}/cmdline" && kill "$daemon" || continue
  for _ in $(seq 100); do
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.1
  done
done
exit 0
