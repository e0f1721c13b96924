#!/usr/bin/env bash
# Starts a SLURM of two nodes on this machine, on loopback, as root or as an ordinary user:
#
#     export SLURM_CONF=$(cluster/slurm/local/start.sh DIR)
#     …
#     cluster/slurm/local/stop.sh DIR
#
# DIR holds all of it; several may run side by side. The packages (Debian): slurmctld slurmd slurm-client munge.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
for command in munged slurmctld slurmd sinfo; do
  PATH=$PATH:/usr/sbin command -v $command >/dev/null || { echo "$command is missing" >&2; exit 1; }
done
export PATH=$PATH:/usr/sbin
mkdir -p "$1"
dir=$(cd "$1" && pwd)
mkdir -p "$dir"/{munge,ctld,spool,log,dev}
chmod a+x "$dir" "$dir/munge"  # munge wants its socket within everybody's reach

# Three ports that are free now.
read -r port0 port1 port2 < <(python3 - <<'EOF'
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(server.getsockname()[1] for server in held))
EOF
)
for name in slurm gres; do
  sed -e "s#@DIR@#$dir#g" -e "s#@USER@#$(id -un)#g" -e "s#@HOST@#$(hostname -s)#g" \
      -e "s#@PORT0@#$port0#g" -e "s#@PORT1@#$port1#g" -e "s#@PORT2@#$port2#g" \
      "$here/$name.conf.in" > "$dir/$name.conf"
done
# A GPU must be a device for slurmd; none is opened.
for i in 0 1; do ln -sfn /dev/null "$dir/dev/nvidia$i"; done

munge=$dir/munge
[ -f "$munge/key" ] || (umask 077; head -c 128 /dev/urandom > "$munge/key")
munged --key-file="$munge/key" --socket="$munge/munge.socket" --pid-file="$munge/munged.pid" \
       --log-file="$munge/munged.log" --seed-file="$munge/seed" --num-threads=2 >&2
export SLURM_CONF=$dir/slurm.conf
slurmctld -c >&2
for node in n1 n2; do slurmd -N $node >&2; done
for _ in $(seq 300); do
  [ "$(sinfo -h -N -p cpu -o %T 2>/dev/null | grep -c idle)" = 2 ] && { echo "$SLURM_CONF"; exit 0; }
  sleep 0.1
done
echo "the nodes did not come up; see $dir/log" >&2
exit 1
