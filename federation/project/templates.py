"""Texts of a new project: `fedml.toml`, README and .gitignore, as `string.Template`. No code."""

from __future__ import annotations

from string import Template

FEDML_TOML = Template("""\
# A federation: regions, their stores, and the home store, which holds the one index of all results.
# Relative paths count from this file. Every key: docs/reference/configuration.md

[federation]
name = "$name"
home = "file://./stores/home"              # the index and the runs
job  = "sales-close-prediction.nomad.hcl"  # what plan, dispatch … use without --job

# A region is reached at its addresses, tried in turn. "dev:us" is the one that `fedml dev up` starts here; a real one is
#   addresses = ["https://nomad.us.example.com:4646"]
#   token     = { env = "NOMAD_TOKEN_US" }        # or { file = "…" }, { command = ["…"] }; never the token itself
# Each Nomad datacenter has a store: what its tasks publish stays there.

[regions.us]
addresses = ["dev:us"]

[regions.us.datacenters.us-east-1]
$us_store

[regions.eu]
addresses = ["dev:eu"]

[regions.eu.datacenters.eu-west-1]
$eu_store

[regions.onprem]
addresses = ["dev:onprem"]

[regions.onprem.datacenters.hall-a]
store = "file://./stores/onprem"

# HCL variables of one region (driver, image, python, data_url … as the jobspec declares them):
# [regions.onprem.vars]
# python = "/opt/ml/bin/python3"

# What `fedml dev up` starts on this machine: regions of pretend nodes that run real processes, as you.
# Delete all that follows for a real federation.

[dev.regions.us]
nodes = [{ name = "us-1", datacenter = "us-east-1", cpu_mhz = 4000, memory_mb = 8192 }]

[dev.regions.eu]
nodes = [{ name = "eu-1", datacenter = "eu-west-1", cpu_mhz = 2000, memory_mb = 4096 }]

[dev.regions.onprem]
nodes = [{ name = "onprem-1", datacenter = "hall-a", cpu_mhz = 1000, memory_mb = 2048 }]
$dev_stores""")

BARE_TOML = Template("""\
# A federation for the code of this folder:  fedml run train.py
# Every key: docs/reference/configuration.md

[federation]
name = "$name"
home = "file://./.fedml/stores/home"       # the index and the runs

# A region is reached at its addresses. "dev:us" is the one that `fedml dev up` starts on this machine; a real one is
#   addresses = ["https://nomad.us.example.com:4646"]
#   token     = { env = "NOMAD_TOKEN_US" }        # or { file = "…" }, { command = ["…"] }; never the token itself
# What runs in a datacenter publishes into its store.

[regions.us]
addresses = ["dev:us"]

[regions.us.datacenters.us-east-1]
store = "file://./.fedml/stores/us"        # or "s3://bucket/prefix", "gs://…", "az://…"

[regions.eu]
addresses = ["dev:eu"]

[regions.eu.datacenters.eu-west-1]
store = "file://./.fedml/stores/eu"

# What `fedml dev up` starts on this machine: regions of pretend nodes that run real processes, as you.
# Delete what follows for a real federation.

[dev.regions.us]
nodes = [{ name = "us-1", datacenter = "us-east-1", cpu_mhz = 4000, memory_mb = 8192 }]

[dev.regions.eu]
nodes = [{ name = "eu-1", datacenter = "eu-west-1", cpu_mhz = 4000, memory_mb = 8192 }]
""")

FOLDER_SETTINGS = {
    "us_store": 'store = "file://./stores/us"               # or "s3://fedml-us/models", "gs://…", "az://…"',
    "eu_store": 'store = "file://./stores/eu"',
    "dev_stores": "",
}
CLOUD_SETTINGS = {
    "us_store": 'store = "s3://fedml-us"\nendpoint = "dev:s3"                        # a local S3 server; none for AWS',
    "eu_store": 'store = "gs://fedml-eu"\nendpoint = "dev:gcs"                       # a local GCS server; none for Google',
    "dev_stores": '\n[dev.stores.s3]\nkind = "s3"\nbuckets = ["fedml-us"]\n'
    '\n[dev.stores.gcs]\nkind = "gcs"\nbuckets = ["fedml-eu"]\n',
}

README = Template("""\
# $name

Trains a model that predicts which customers will buy, in three Nomad regions at once, and enters every model into one index.

    fedml dev up                                   # three regions on this machine (ends with: fedml dev down)

    fedml plan                                     # where there is room, and what would run where
    fedml dispatch --regions us,eu --version 4     # one model a region, version 4
    fedml index list                               # all models of all regions, with their metrics

Use the first of them:

    fedml index get sales-close-prediction@4/0 --to model
    python3 -m pipeline.predict model              # a python3 with scikit-learn

## What is here

| | |
| --- | --- |
| `fedml.toml` | the federation: regions, their datacenters and stores |
| `sales-close-prediction.nomad.hcl` | the job, which carries the pipeline's code with it |
| `pipeline/` | six stages: extract, transform, build, train, test, store; data in `pipeline/data` (CC BY 4.0) |
| `.fedml/`, `stores/` | made by use: the development federation, and what was published |

## What next

- More models: `fedml dispatch -n 12` spreads them by free capacity; `-var count=2` gives two a slot.
- Other parameters: `-meta epochs=5 -meta batch_size=256`, or `-meta data_url=https://…/customers.csv`.
- A gate: with `-meta min_auc=0.8` a weaker model fails its task and is never published.
- Your own model: change `pipeline/build.py`; no image to build, nothing to copy to nodes.
- Your own regions: write their addresses and stores into `fedml.toml`, delete `[dev…]`, then `fedml doctor`.
""")

GITIGNORE = """\
.fedml/
stores/
build/
model/
__pycache__/
"""
