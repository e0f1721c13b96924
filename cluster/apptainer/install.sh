#!/bin/sh
# Puts nucbatch into an image of Debian 12: what Containerfile and nucbatch.def have in common.
#
#     sh install.sh SOURCE      SOURCE: pyproject.toml, constraints.txt, README.md, LICENSE, nucbatch/
#
# EXTRAS: of pyproject.toml, as cuda,slurm. PIP_OPTIONS: as --index-url URL, for a mirror or for PyTorch without
# CUDA, which is several GB smaller. Every version is the one that the tests run with.
set -eu
source=$1

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv
rm -rf /var/lib/apt/lists/*

python3 -m venv /opt/nucbatch
# shellcheck disable=SC2086  # options are several words
/opt/nucbatch/bin/python -m pip install --no-cache-dir ${PIP_OPTIONS:-} \
    -c "$source/constraints.txt" "$source${EXTRAS:+[$EXTRAS]}"
ln -s /opt/nucbatch/bin/nucbatch /usr/local/bin/nucbatch
