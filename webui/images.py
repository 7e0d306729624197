"""The images page: every image with its versions, sizes, dates and how many nodes use it."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from images.versions import Version
from webui.context import appliance

blueprint = Blueprint("images", __name__)


@blueprint.get("/images")
def listing() -> ResponseReturnValue:
    by_name: dict[str, list[Version]] = {}
    found, wrong = appliance().images.readable()
    for version in found:
        by_name.setdefault(version.name, []).append(version)
    for versions in by_name.values():
        versions.sort(key=lambda version: version.number, reverse=True)
    known = {version.id for version in found}
    used = appliance().roster.image_use()
    images = sorted(by_name.items())
    return render_template(
        "images.html", section="images.listing", images=images, used=used, wrong=wrong, known=known
    )
