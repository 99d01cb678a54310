"""A job's JSON enters, what its tasks bring from elsewhere leaves: container images, the text of templates. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def images_of(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of tasks whose driver takes an image (`config { image = … }`); the digest is "" where the name has none, and then
    it is the registry that says, at each pull, what the tag means."""
    for group in job.get("TaskGroups") or ():
        for task in group.get("Tasks") or ():
            image = (task.get("Config") or {}).get("image")
            if isinstance(image, str) and image:
                name, _, digest = image.partition("@")
                yield name, digest


def templates_of(job: Mapping[str, Any]) -> Iterator[str]:
    """The text of each template that stands in the job itself."""
    for group in job.get("TaskGroups") or ():
        for task in group.get("Tasks") or ():
            for template in task.get("Templates") or ():
                yield str(template.get("EmbeddedTmpl") or "")
