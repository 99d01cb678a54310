"""The text of a jobspec in Nomad's language (HCL2) goes in; Nomad's API JSON of the job comes out.

What this package offers is listed in `__all__`; its modules are its own. It needs nothing but the standard library.
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
