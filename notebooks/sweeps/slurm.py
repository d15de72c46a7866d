"""Workers for a sweep from Slurm: run this on the login node.

It starts a scheduler here, keeps `--jobs` jobs with a worker each in Slurm's
queue, and cancels them when it is stopped (Ctrl-C). A job that is lost, that
was cancelled or has come to its time limit, is replaced within half a minute.
Needs dask-jobqueue, and the project's folder on a disk that the nodes share.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from dask_jobqueue import SLURMCluster

from sweeps.cluster import make_certificate, security


def seconds(walltime: str) -> int:
    """Slurm's [days-]hours:minutes:seconds as a number."""
    days, _, clock = walltime.rpartition("-")
    hours, minutes, rest = (int(part) for part in clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + rest


def start(options: argparse.Namespace) -> SLURMCluster:
    """A cluster without jobs; only who has the certificate may use it."""
    make_certificate()
    walltime = seconds(options.walltime)
    worker = [
        "--resources training=1",  # one point at a time
        # A worker ends by itself before Slurm would end it, not all at once;
        # its point goes on elsewhere from its checkpoint.
        f"--lifetime {round(0.9 * walltime)}s",
        f"--lifetime-stagger {round(0.05 * walltime)}s",
        "--dashboard-address 127.0.0.1:0",
    ]
    return SLURMCluster(
        cores=options.cores,
        processes=1,
        memory=options.memory,
        walltime=options.walltime,
        queue=options.partition,
        account=options.account,
        interface=options.interface,
        python=sys.executable,
        log_directory="runs/slurm",
        job_extra_directives=options.directive,
        worker_extra_args=worker,
        scheduler_options={
            "port": options.port,
            "dashboard_address": "127.0.0.1:8787",
        },
        security=security(),
    )


def keep(cluster: SLURMCluster, jobs: int) -> None:
    """Submit as many jobs as are missing, of those that Slurm still knows."""
    words = ["squeue", "--me", "--noheader", "--format=%A"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode == 0:  # else Slurm itself is down: nothing is known
        known = done.stdout.split()
        gone = [
            n
            for n, job in cluster.workers.items()
            if str(job.job_id) not in known
        ]
        if gone:
            print(f"{len(gone)} job(s) are gone; submitting others", flush=True)
            cluster.sync(forget, cluster, gone)
        cluster.scale(jobs=jobs)


async def forget(cluster: SLURMCluster, names: list) -> None:
    for name in names:
        cluster.workers.pop(name, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=4, help="workers (4)")
    parser.add_argument("--cores", type=int, default=4, help="of a job (4)")
    parser.add_argument("--memory", default="8GB", help="of a job (8GB)")
    parser.add_argument(
        "--walltime", default="04:00:00", help="of a job, D-HH:MM:SS (04:00:00)"
    )
    parser.add_argument("--partition", help="Slurm's partition")
    parser.add_argument("--account", help="Slurm's account")
    parser.add_argument(
        "--directive",
        action="append",
        default=[],
        help="an #SBATCH line more: --gres=gpu:1",
    )
    parser.add_argument(
        "--interface",
        help="the network interface that the nodes reach, such as ib0",
    )
    parser.add_argument(
        "--port", type=int, default=8786, help="of the scheduler (8786)"
    )
    options = parser.parse_args()
    os.chdir(Path(__file__).resolve().parents[2])  # the jobs begin there
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with start(options) as cluster:
        print(cluster.job_script(), flush=True)
        print(
            "In a second shell: make sweep SWEEP=latent_dim PAGE=no "
            f"SCHEDULER=tls://localhost:{options.port}"
        )
        print("Ctrl-C ends the scheduler and cancels its jobs", flush=True)
        try:
            while True:
                keep(cluster, options.jobs)
                time.sleep(10)
        except KeyboardInterrupt:
            print("ended", flush=True)


if __name__ == "__main__":
    main()
