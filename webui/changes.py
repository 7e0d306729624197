"""What is different between two versions of images: packages, services, kernel, files."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from bootsrv.errors import NotFound
from images.changes.entries import TIME
from webui.context import appliance

blueprint = Blueprint("changes", __name__)
MOST = 500  # files on the page; the shell shows them all


@blueprint.get("/images/<ref>/changes")
def page(ref: str) -> ResponseReturnValue:
    """From `?from=REF`, else from the version that it was made from."""
    new = appliance().images.resolve(ref)
    old = request.args.get("from")
    if old is None:
        every, _ = appliance().images.readable()
        old = next((version.ref for version in every if version.id == new.parent), None)
    if old is None:
        raise NotFound(f"{new.ref} was made from no version that is still here")
    report = appliance().images.diff(old, new.ref)
    files = [one for one in report.files if one.aspects != (TIME,)]
    return render_template(
        "changes.html", section="images.listing", report=report, counts=report.counts(),
        files=files[:MOST], left=max(0, len(files) - MOST),
    )  # fmt: skip
