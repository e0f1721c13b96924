#!/bin/sh
# Installs nucbatch in an image of Debian 12. Containerfile and nucbatch.def both call it.
#
#     sh install.sh SOURCE      SOURCE: pyproject.toml, constraints.txt, README.md, LICENSE, nucbatch/
#
# EXTRAS: extras of pyproject.toml, e.g. cuda,slurm. PIP_OPTIONS: e.g. --index-url URL, for a mirror or for PyTorch
# without CUDA, which is several GB smaller. All versions are those that the tests run with.
set -eu
source=$1

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv
rm -rf /var/lib/apt/lists/*

python3 -m venv /opt/nucbatch
# shellcheck disable=SC2086  # PIP_OPTIONS may be several words
/opt/nucbatch/bin/python -m pip install --no-cache-dir ${PIP_OPTIONS:-} \
    -c "$source/constraints.txt" "$source${EXTRAS:+[$EXTRAS]}"
ln -s /opt/nucbatch/bin/nucbatch /usr/local/bin/nucbatch
