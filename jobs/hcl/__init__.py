"""Parses jobspecs in Nomad's language (HCL2) to Nomad's API JSON.

`__all__` lists what this package offers; its modules are private. It needs only the standard library.
"""

from __future__ import annotations

from jobs.hcl.job import ParsedJob, parse_job
from jobs.hcl.variables import VariableSource, environment_variables, load_var_file, read_var_file
from jobs.hcl.versions import NewerField, newer_fields

__all__ = [
    "NewerField",
    "ParsedJob",
    "VariableSource",
    "environment_variables",
    "load_var_file",
    "newer_fields",
    "parse_job",
    "read_var_file",
]
