"""Checks how a group restarts, reschedules, updates, migrates, scales and survives a lost client."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.durations import format_duration
from jobs.nomad_json.validation.problem import Problem, Record, quoted

SECOND = 1_000_000_000
_RESTART_INTERVAL_MIN = 5 * SECOND
_DELAY_MIN = 5 * SECOND
_INTERVAL_MIN = 15 * SECOND


def _at(text: str, name: str = "") -> Problem:
    return Problem(text, ((name, None),) if name else ())


def restart(policy: Record) -> Iterator[Problem]:
    mode, attempts, interval, delay = (policy[key] for key in ("Mode", "Attempts", "Interval", "Delay"))
    if mode not in ("delay", "fail"):
        yield _at(f"Unsupported restart mode: {quoted(mode)}", "mode")
    if attempts == 0 and mode != "fail":
        yield _at(f"Restart policy {quoted(mode)} with 0 attempts is ambiguous", "attempts")
    if interval < _RESTART_INTERVAL_MIN:
        yield _at(f"Interval can not be less than 5s (got {format_duration(interval)})", "interval")
    if attempts * delay > interval:
        yield _at(
            f"Nomad can't restart the TaskGroup {attempts} times in an interval of"
            f" {format_duration(interval)} with a delay of {format_duration(delay)}"
        )


def reschedule(policy: Record) -> Iterator[Problem]:
    attempts, unlimited, interval = (policy[key] for key in ("Attempts", "Unlimited", "Interval"))
    if attempts <= 0 and not unlimited:
        return
    if attempts > 0 and interval <= 0:
        yield _at("Interval must be a non zero value if Attempts > 0", "interval")
    if attempts > 0 and unlimited:
        yield _at(
            f"Reschedule Policy with Attempts = {attempts}, Interval = {format_duration(interval)},"
            " and Unlimited = true is ambiguous"
        )
        yield _at("If Attempts >0, Unlimited cannot also be set to true", "unlimited")
    delays = list(_delays(policy))
    yield from delays
    if not unlimited:
        if interval < _INTERVAL_MIN:
            yield _at(f"Interval cannot be less than 15s (got {format_duration(interval)})", "interval")
        if not delays:
            yield from _too_many(policy)


def _delays(policy: Record) -> Iterator[Problem]:
    delay, function, longest = (policy[key] for key in ("Delay", "DelayFunction", "MaxDelay"))
    if delay < _DELAY_MIN:
        yield _at(f"Delay cannot be less than 5s (got {format_duration(delay)})", "delay")
    if function not in ("constant", "exponential", "fibonacci"):
        known = '["constant" "exponential" "fibonacci"]'
        yield _at(f"Invalid delay function {quoted(function)}, must be one of {known}", "delay_function")
    if function != "constant":
        if longest < _DELAY_MIN:
            yield _at(f"Max Delay cannot be less than 5s (got {format_duration(delay)})", "max_delay")
        if longest < delay:
            text = f"Max Delay cannot be less than Delay {format_duration(delay)} (got {format_duration(longest)})"
            yield _at(text, "max_delay")


def _too_many(policy: Record) -> Iterator[Problem]:
    """Finds more attempts than the interval has room for."""
    attempts, interval, delay, function = (policy[key] for key in ("Attempts", "Interval", "Delay", "DelayFunction"))
    possible, needed_ns = _possible(policy)
    if possible is None:
        return
    text = (
        f"Nomad can only make {possible} attempts in {format_duration(interval)} with initial delay"
        f" {format_duration(delay)}"
    )
    if function == "constant":
        yield _at(f'{text} and delay function "constant"')
    else:
        yield _at(f'{text}, delay function "{function}", and delay ceiling {format_duration(policy["MaxDelay"])}')
    rounded = (needed_ns + SECOND // 2) // SECOND * SECOND
    yield _at(f"Set the interval to at least {format_duration(rounded)} to accommodate {attempts} attempts", "interval")


def _possible(policy: Record) -> tuple[int | None, int]:
    """Returns the number of attempts that fit, None where all do, and the interval that all need."""
    attempts, interval, delay, function = (policy[key] for key in ("Attempts", "Interval", "Delay", "DelayFunction"))
    longest = policy["MaxDelay"]
    attempts = min(attempts, 100_000)
    if function == "constant":
        needed = attempts * delay
        return (max(0, interval // delay) if interval < needed else None), needed
    if function == "exponential":
        needed = possible = 0
        for number in range(attempts):
            following = delay << min(number, 200)
            needed = needed + longest if following > longest else following
            possible += needed < interval
        return (possible if possible < attempts else None), needed
    starts, reached_ceiling = [delay, delay], False
    for _ in range(2, attempts):
        following = starts[-1] + (longest if reached_ceiling else starts[-2])
        if not reached_ceiling and following > longest:
            following, reached_ceiling = longest, True
        starts.append(following)
    if interval >= starts[-1]:
        return None, starts[-1]
    return next((number for number, start in enumerate(starts) if start > interval), 0), starts[-1]


def update(strategy: Record) -> Iterator[Problem]:
    stagger, deadline, longest = (strategy[key] for key in ("Stagger", "HealthyDeadline", "ProgressDeadline"))
    if strategy["HealthCheck"] not in ("checks", "task_states", "manual"):
        yield _at(f"Invalid health check given: {quoted(strategy['HealthCheck'])}", "health_check")
    if strategy["MaxParallel"] < 0:
        text = f"Max parallel can not be less than zero: {strategy['MaxParallel']} < 0"
        yield _at(text, "max_parallel")
    if strategy["Canary"] < 0:
        yield _at(f"Canary count can not be less than zero: {strategy['Canary']} < 0", "canary")
    if strategy["Canary"] == 0 and strategy["AutoPromote"]:
        yield _at("Auto Promote requires a Canary count greater than zero", "auto_promote")
    healthy = strategy["MinHealthyTime"]
    if healthy < 0:
        yield _at(f"Minimum healthy time may not be less than zero: {format_duration(healthy)}", "min_healthy_time")
    if deadline <= 0:
        yield _at(f"Healthy deadline must be greater than zero: {format_duration(deadline)}", "healthy_deadline")
    if longest < 0:
        yield _at(f"Progress deadline must be zero or greater: {format_duration(longest)}", "progress_deadline")
    if healthy >= deadline:
        both = f"{format_duration(healthy)} > {format_duration(deadline)}"
        yield _at(f"Minimum healthy time must be less than healthy deadline: {both}", "min_healthy_time")
    if longest != 0 and deadline >= longest:
        both = f"{format_duration(deadline)} > {format_duration(longest)}"
        yield _at(f"Healthy deadline must be less than progress deadline: {both}", "healthy_deadline")
    if stagger <= 0:
        yield _at(f"Stagger must be greater than zero: {format_duration(stagger)}", "stagger")


def migrate(strategy: Record) -> Iterator[Problem]:
    check, parallel = strategy["HealthCheck"], strategy["MaxParallel"]
    if parallel < 0:
        yield _at(f"MaxParallel must be >= 0 but found {parallel}", "max_parallel")
    if not check and parallel > 0:
        yield _at("Missing HealthCheck", "health_check")
    elif check and check not in ("checks", "task_states"):
        yield _at(f"Invalid HealthCheck: {quoted(check)}", "health_check")
    healthy, deadline = strategy["MinHealthyTime"], strategy["HealthyDeadline"]
    if healthy < 0:
        yield _at(f"MinHealthyTime is {format_duration(healthy)} and must be >= 0", "min_healthy_time")
    if deadline < 0:
        yield _at(f"HealthyDeadline is {format_duration(deadline)} and must be >= 0", "healthy_deadline")
    if healthy > deadline:
        yield _at("MinHealthyTime must be less than HealthyDeadline", "min_healthy_time")


def scaling(policy: Record, count: int) -> Iterator[Problem]:
    """`count` is the group's. It is the default of `min`."""
    least = count if policy["Min"] is None else policy["Min"]
    most = policy["Max"] or 0
    if policy["Type"] not in (None, "", "horizontal"):
        yield _at(f'Scaling policy invalid: scaling policy type "{policy["Type"]}" is not valid', "type")
    if most < 0:
        yield _at("Scaling policy invalid: maximum count must be specified and non-negative", "max")
    elif most < least:
        yield _at("Scaling policy invalid: maximum count must not be less than minimum count", "max")
    if least < 0:
        yield _at("Scaling policy invalid: minimum count must be specified and non-negative", "min")
    text = "Scaling policy invalid: task group count must not be {} count in scaling policy"
    if most < count:
        yield _at(text.format("greater than maximum"), "max")
    if count < least:
        yield _at(text.format("less than minimum"), "min")


def disconnect(strategy: Record, job_type: str) -> Iterator[Problem]:
    stop, lost = strategy.get("StopOnClientAfter"), strategy.get("LostAfter") or 0
    if stop is not None:
        if stop < 0:
            yield _at("stop_after cannot be a negative duration", "stop_on_client_after")
        if job_type not in ("service", "batch"):
            yield _at("stop_after can only be used with service or batch job types", "stop_on_client_after")
    if lost < 0:
        yield _at("lost_after cannot be a negative duration", "lost_after")
    if stop is not None and lost != 0:
        yield _at("Disconnect cannot be configured with both lost_after and stop_after")
    reconcile = strategy.get("Reconcile") or ""
    if reconcile not in ("", "best_score", "longest_running", "keep_original", "keep_replacement"):
        yield _at(f"reconcile option is invalid: {reconcile}", "reconcile")
