#!/usr/bin/env bash
# Makes .venv with the pinned packages: `ops/bootstrap.sh run` what the program needs, `ops/bootstrap.sh test` also
# what the tests need. A stamp of what was installed makes every later call return at once.
#
#   PYTHON          interpreter to build .venv from (default: the first found of python3.11 … python3.14, python3)
#   TORCH_PIP_ARGS  extra arguments for installing torch, e.g. an --index-url with CPU builds
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

purpose="${1:-run}"
requirements=(requirements.txt)
if [[ "$purpose" == test ]]; then
    requirements+=(requirements-test.txt)
fi

venv=.venv
stamp="$venv/.installed-$purpose"
wanted="$(cat "${requirements[@]}" | cksum)"

say() { printf '%s\n' "$*" >&2; }

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
        if command -v "$candidate" >/dev/null 2>&1 && is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    say "Python 3.11 or newer is needed and none was found; set PYTHON to its path."
    return 1
}

make_venv() {
    local python
    python="$(find_python)"
    # A virtual environment whose interpreter is gone (the directory was copied or Python was upgraded) is remade.
    if [[ -x "$venv/bin/python" ]] && is_new_enough "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    say "Making $venv with $python"
    rm -rf "$venv"
    if ! "$python" -m venv "$venv" >/dev/null; then
        rm -rf "$venv"
        say "$python cannot make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv"
        return 1
    fi
}

install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"
}

has_torch() {
    "$venv/bin/python" -c 'import importlib.metadata as m, sys; sys.exit(m.version("torch").split("+")[0] != sys.argv[1])' \
        "$1" 2>/dev/null
}

if [[ -x "$venv/bin/python" && "$(cat "$stamp" 2>/dev/null || true)" == "$wanted" ]]; then
    exit 0
fi

# Two commands started at once (make run, make test) must not install into each other.
exec 9>.bootstrap.lock
if command -v flock >/dev/null 2>&1; then
    flock 9
fi
if [[ -x "$venv/bin/python" && "$(cat "$stamp" 2>/dev/null || true)" == "$wanted" ]]; then
    exit 0
fi

make_venv
torch_version="$(sed -n 's/^torch==//p' requirements.txt)"
if ! has_torch "$torch_version"; then
    say "Installing torch $torch_version"
    # shellcheck disable=SC2086  # several arguments in one variable, on purpose
    install ${TORCH_PIP_ARGS:-} "torch==$torch_version"
fi
say "Installing the pinned packages (${requirements[*]})"
for file in "${requirements[@]}"; do
    arguments+=(-r "$file")
done
install "${arguments[@]}"
printf '%s' "$wanted" >"$stamp"
# Bytecode is written once here, not by the first start.
"$venv/bin/python" -m compileall -q ontology knowledge api worker portal >/dev/null 2>&1 || true
say "Installed."
