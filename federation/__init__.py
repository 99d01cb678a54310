"""Several Nomad regions as one place: plan, deploy, dispatch, watch, publish, commit, index."""
