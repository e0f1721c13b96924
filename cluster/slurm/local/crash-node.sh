#!/usr/bin/env bash
# A node dies with all that runs on it, or freezes, or goes on: crash-node.sh DIR NODE [KILL|STOP|CONT]
# Afterwards `slurmd -N NODE` (with SLURM_CONF) brings a dead one back.
set -uo pipefail
[ $# -ge 2 ] && [ -f "$1/slurm.conf" ] || { echo "usage: $0 DIR NODE [KILL|STOP|CONT]" >&2; exit 2; }
dir=$(cd "$1" && pwd) node=$2 signal=${3:-KILL}
pids=()
# A dead daemon leaves its file, and its number may be another's by now.
daemon=$(cat "$dir/slurmd.$node.pid" 2>/dev/null)
grep -qs '^slurmd' "/proc/${daemon:-none}/cmdline" && pids+=("$daemon")
# What belongs to the node: the steps' guards, which keep its log open, and every process of its jobs.
for process in /proc/[0-9]*; do
  if [ "$(readlink "$process/fd/3")" = "$dir/log/slurmd.$node.log" ] && grep -qs '^slurmstepd' "$process/cmdline"; then
    pids+=("${process#/proc/}")
  elif grep -qsz "^SLURMD_NODENAME=$node\$" "$process/environ" && grep -qsz "^SLURM_CONF=$dir/slurm.conf\$" "$process/environ"; then
    pids+=("${process#/proc/}")
  fi
done 2>/dev/null
[ ${#pids[@]} = 0 ] || kill "-$signal" "${pids[@]}" 2>/dev/null
exit 0
