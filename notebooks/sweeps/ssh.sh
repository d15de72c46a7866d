#!/bin/sh
# Workers for a sweep on other machines, by ssh: run this on the machine that gives the points, and leave it running.
#
#   notebooks/sweeps/ssh.sh [-d FOLDER] [-a ADDRESS] [-p PORT] [-n THREADS] HOST...
#
# It starts a scheduler here and a worker on each HOST, and ends them when it is stopped (Ctrl-C). Each HOST needs a
# clone of this project at the same commit in FOLDER (cae-lab-report in the home directory), with its environment
# (`make env`). ADDRESS (this machine's name) is how the hosts reach this machine. A worker takes one point at a time,
# with THREADS threads (all of its machine). Only who has the certificate may use them; it is copied to each HOST.
# SSH="ssh -p 2222" names another ssh.
set -eu
folder=cae-lab-report address=$(hostname) port=8786 threads=
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; }
while getopts hd:a:p:n: option; do
  case $option in
    d) folder=$OPTARG ;;
    a) address=$OPTARG ;;
    p) port=$OPTARG ;;
    n) threads="--nthreads $OPTARG" ;;
    h) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { usage >&2; exit 2; }

cd "$(dirname "$0")/../.."
pem=runs/sweep-tls.pem
tls="--tls-ca-file $pem --tls-cert $pem --tls-key $pem"
.venv/bin/python -m sweeps tls

started=
end() { trap - EXIT INT TERM; kill $started 2> /dev/null || true; wait; exit "$1"; }
trap 'end 0' INT TERM
trap 'end $?' EXIT
.venv/bin/dask scheduler --protocol tls $tls --port "$port" --dashboard-address 127.0.0.1:8787 &
scheduler=$! started=$!
for host in "$@"; do
  # On a shared disk the file is replaced by itself, whole.
  ${SSH:-ssh} "$host" "cd '$folder' && mkdir -p runs && umask 077 && cat > $pem.\$\$ && mv $pem.\$\$ $pem" < $pem
  ${SSH:-ssh} "$host" "cd '$folder' && exec .venv/bin/dask worker tls://$address:$port $tls $threads \
    --resources training=1 --dashboard-address 127.0.0.1:0 --death-timeout 60" < /dev/null &
  started="$started $!"
done
echo "In a second shell: make sweep SWEEP=latent_dim PAGE=no SCHEDULER=tls://localhost:$port"
wait $scheduler
