#!/bin/sh
# Makes .fleet/bench-venv: the peer that the benchmark compares with, and the sampler of
# `python -m bench profile`. Optional: without it those two say so and the rest runs.
set -eu

cd "$(dirname "$0")/.."
scripts/bootstrap.sh --dev
UV_CACHE_DIR=${UV_CACHE_DIR:-$PWD/.fleet/cache/uv}
export UV_CACHE_DIR UV_PYTHON_DOWNLOADS=never
unset VIRTUAL_ENV || :

# The peer's newest release wants a newer Python than we do; where there is none it is an older one.
for python in 3.13 3.12 3.11; do
    # pyenv's shims hide every version but the one that this names; nobody else reads it.
    export PYENV_VERSION="$python"
    if .fleet/tools/bin/uv venv --quiet --clear --python "$python" .fleet/bench-venv 2>/dev/null; then
        exec .fleet/tools/bin/uv pip install --quiet --python .fleet/bench-venv/bin/python -r bench/requirements.txt
    fi
done
echo "bench_venv: no Python 3.11 … 3.13 found" >&2
exit 1
