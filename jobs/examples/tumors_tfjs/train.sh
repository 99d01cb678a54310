#!/bin/sh
# What fedml runs: the packages of package-lock.json, then the training. `exec`, so that signals reach Node.js itself.
# The packages stay in a cache folder of the node, so that its second slot starts at once.
set -e
packages="${XDG_CACHE_HOME:-$HOME/.cache}/tumors-tfjs/$(cksum < package-lock.json | tr ' ' -)/node_modules"
if [ ! -d "$packages" ]; then
  npm ci --omit=dev --prefer-offline --no-audit --no-fund --ignore-scripts >&2
  mkdir -p "$(dirname "$packages")"
  node -e 'fs.renameSync("node_modules", process.argv[1])' "$packages" 2>/dev/null || true # or another slot was faster
fi
[ -e node_modules ] || ln -s "$packages" node_modules
exec node train.mjs "$@"
