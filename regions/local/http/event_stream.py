"""Endpoint of the event stream: newline-separated JSON, events as they happen, `{}` as a heartbeat.

A stream that the server ends gives the reason in plain text, as Nomad's does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from regions.local.http.context import Context, namespace_of
from regions.local.http.messages import Failure, Reply, Request, stream
from regions.local.state.events import EventsLost, Topics, wanted
from regions.local.state.snapshot import Record

_HEARTBEAT_S = 10.0
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def events(context: Context, request: Request) -> Reply:
    """/v1/event/stream"""
    index = request.get("index", "0")
    if not (index.isascii() and index.isdigit() and len(index) < 20):
        raise Failure(400, f'Unable to parse index: strconv.Atoi: parsing "{index}": invalid syntax')
    topics = _topics(request)
    return stream(_follow(context, topics, namespace_of(request), int(index)), {"Content-Type": "application/json"})


def nothing() -> Reply:
    """Answers a refused stream as later versions do: it ends at once, without a word."""
    return stream(iter(()), {"Content-Type": "application/json"})


def _topics(request: Request) -> Topics:
    topics: Topics = {}
    for text in request.query.get("topic", ["*"]):
        name, *keys = text.split(":")
        if len(keys) > 1:
            raise Failure(
                400, f"Invalid topic query: error parsing topics: Invalid key value pair for topic, topic: {text}"
            )
        topics.setdefault(name, set()).add(keys[0] if keys else "*")
    return topics


def _follow(context: Context, topics: Topics, namespace: str, index: int) -> Iterator[bytes]:
    log = context.store.events
    try:
        position, batches = log.begin(index)
        yield b"{}\n"
        while True:
            for at, batch in batches:
                chosen = [_shown(context, event) for event in batch if wanted(event, topics, namespace)]
                if chosen:
                    yield (_encode({"Events": chosen, "Index": at}) + "\n").encode()
            position, batches = log.read(position, _HEARTBEAT_S)
            if not batches:
                yield b"{}\n"
    except EventsLost as lost:
        yield str(lost).encode()


def _shown(context: Context, event: Record) -> Record:
    """Returns the event with its object as the region's version shows it."""
    shown = {
        "Allocation": context.shown.allocation,
        "Evaluation": context.shown.evaluation,
        "Job": context.shown.job,
    }.get(event["Topic"])
    if shown is None:
        return event
    return {**event, "Payload": {topic: shown(record) for topic, record in event["Payload"].items()}}
