#!/bin/sh
# Opens LTX Wizard. The first start makes a private environment in .venv beside this file; later starts take seconds.
#
#   ./launch.sh [--listen] [--share] [--port N] [--no-browser]   the app, in the browser
#   ./launch.sh demo --out DIR [--json]                          the whole road without a window; so any word of the
#                                                                command line program
#   ./launch.sh python FILE ARGS                                 a script of this repository in that environment
#   ./launch.sh test [PYTEST ARGS]                               all checks and tests; with arguments, pytest only
#
# LTX_WIZARD_PYTHON=PATH chooses the Python. LTX_WIZARD_DRY_RUN=1 prints the commands and runs none of them.
# This file only finds a Python; ltx_wizard/launch does the rest, on every system.
set -u

script=$0
while [ -L "$script" ]; do
  target=$(readlink "$script")
  case $target in
    /*) script=$target ;;
    *) script=$(dirname "$script")/$target ;;
  esac
done
root=$(CDPATH='' cd -- "$(dirname -- "$script")" && pwd -P) || exit 1
setup=$root/ltx_wizard/launch

reasons=''

# Ask a candidate itself: a name on the PATH may be a shim with nothing behind it, or too old to read the question.
can_carry() {
  reason=$("$1" -I "$setup" check-python 2>/dev/null)
  status=$?
  if [ "$status" -eq 3 ]; then # 3: a real Python, which told us why it will not do
    reasons="$reasons
  $1: $reason"
  fi
  return "$status"
}

give_up() {
  printf '%s\n' "$1$reasons" "What to do: $2" >&2
  exit 1
}

install_advice() {
  case $(uname -s) in
    Darwin) printf '%s' "install Python 3.12 from python.org (or 'brew install python@3.12')" ;;
    *)
      if command -v apt-get >/dev/null 2>&1; then
        printf '%s' "sudo apt-get install python3 python3-venv"
      elif command -v dnf >/dev/null 2>&1; then
        printf '%s' "sudo dnf install python3.12"
      else
        printf '%s' "install Python 3.12 with your system's package manager"
      fi
      ;;
  esac
  printf '%s' ", or set LTX_WIZARD_PYTHON to the path of one; then start again."
}

if [ -n "${LTX_WIZARD_PYTHON:-}" ]; then
  can_carry "$LTX_WIZARD_PYTHON" || give_up \
    "LTX_WIZARD_PYTHON names a Python that cannot be used: $LTX_WIZARD_PYTHON" \
    "let it name a Python 3.10, 3.11, 3.12 or 3.13 that has the module venv, or unset it."
  exec "$LTX_WIZARD_PYTHON" -I "$setup" run "$@"
fi

for name in python3.13 python3.12 python3.11 python3.10 python3 python; do
  if command -v "$name" >/dev/null 2>&1 && can_carry "$name"; then
    exec "$name" -I "$setup" run "$@"
  fi
done
give_up "LTX Wizard needs Python 3.10, 3.11, 3.12 or 3.13, and found none that it can use." "$(install_advice)"
