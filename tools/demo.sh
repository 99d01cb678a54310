#!/usr/bin/env bash
# The main job from nothing to a used model: three federated regions on this machine, in a folder that is gone at the end.
# Asks nothing, listens on 127.0.0.1 only, leaves no process and no file, also when it is interrupted.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/tmp}/fedml-demo.XXXXXX")
leave() {
    local code=$?
    trap - EXIT INT TERM HUP
    if [ -e "$folder/sales/.fedml" ]; then
        (cd "$folder/sales" && fedml dev down --purge --yes >/dev/null 2>&1) || true
    fi
    rm -rf "$folder"
    exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

bold=$(tput bold 2>/dev/null || true)
plain=$(tput sgr0 2>/dev/null || true)
[ -t 1 ] || { bold="" plain=""; }

say() { printf '\n%s# %s%s\n' "$bold" "$1" "$plain"; }
run() {
    printf '%s$ %s%s\n' "$bold" "$*" "$plain"
    "$@"
}
# plan's exit code 1 says that something would change
run_plan() { run "$@" || [ $? -eq 1 ]; }

cd "$folder"
say "A project: regions, their stores, one Nomad job that trains a model"
run fedml init sales --stores cloud
cd sales

say "Three Nomad regions on this machine, each with its own object store (us: S3, eu: GCS, onprem: a directory)"
run fedml dev up

say "How would 7 dispatches spread over the regions' free capacity, and where would the results land?"
run_plan fedml plan -n 7 --version 4

say "One jobspec to all regions, 7 models trained on real data, each stored where it was made, all in one index"
run fedml dispatch -n 7 --version 4 -meta epochs=5

say "Every model of every region and cloud, in one place"
run fedml index list --version 4

say "Use one: fetched from its region's store, verified, loaded by another process"
best=$(fedml index list --version 4 --json | python3 -c '
import json, sys
entries = json.load(sys.stdin)["results"]
print(max(entries, key=lambda entry: entry["metrics"]["roc_auc"])["alloc_id"])')
run fedml index get "$best" --to model
run python3 pipeline/predict.py model

say "All of it again, by hand:  fedml init my-project && cd my-project && fedml dev up"
