"""The profiles page: what is stored, a form with what it makes beside it, history.

The form works without script: its buttons send it, and the page comes back with what it makes now. With
script the same is fetched as one types. A password that is typed becomes its hash before anything else
is done with the form; it is neither kept nor sent back.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bootsrv.answers.crypt import typed_hashed
from bootsrv.answers.files import difference
from bootsrv.answers.making import Made
from bootsrv.answers.stack import read_ref
from bootsrv.errors import BootsrvError, Conflict, Invalid, NotFound
from bootsrv.model import AnswerText, Node
from pxe.answers.errors import Finding
from webui.context import appliance
from webui.forms import Form, sentence
from webui.profile_fields import parts
from webui.profile_form import PLAIN, ProfileForm, has_comments
from webui.register import attempt

blueprint = Blueprint("profiles", __name__)
MOST_NODES = 100  # to choose from; the shell takes any
SECTION = "profiles.listing"
FRESH = 'target = "debian13"\n'


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands beside the form. `lines`: each with its findings; `loose`: the findings without a line."""

    made: Made | None
    lines: Sequence[tuple[str, Sequence[Finding]]] = ()
    loose: Sequence[Finding] = ()
    changes: str = ""

    @property
    def good(self) -> bool:
        return self.made is not None and self.made.good


@dataclass
class Draft:
    """A profile as somebody is changing it. `text` is None while it cannot be read, `wrong` says why."""

    ref: str
    base: AnswerText | None
    form: ProfileForm
    as_text: bool
    text: str | None
    wrong: str = ""
    comment: str = ""
    node: Node | None = None

    @classmethod
    def of_request(cls, ref: str, base: AnswerText | None) -> Draft:
        form, as_text = ProfileForm.of_request(request.form), request.form.get("mode") == "text"
        node = request.form.get("node", "")
        draft = cls(ref, base, form, as_text, None, comment=request.form.get("comment", ""),
                    node=appliance().nodes.show(node) if node else None)  # fmt: skip
        try:
            draft._take_passwords()
            draft.text = request.form.get("text", "").replace("\r\n", "\n") if as_text else form.text()
        except tomllib.TOMLDecodeError as error:
            draft.wrong = f"{sentence(str(error))} (in the text below the form)"
        except Invalid as error:
            draft.wrong = sentence(str(error))
        return draft

    def _take_passwords(self) -> None:
        """Those that were typed are hashes from here on. Raises Invalid."""
        for name in self.form.hashes():
            if plain := request.form.get(PLAIN + name):
                self.form.values[name] = typed_hashed(plain)


@blueprint.get("/profiles")
def listing() -> ResponseReturnValue:
    verbs = appliance().profiles
    every = [(one, len(verbs.users_of(one.ref)), _target(one)) for one in verbs.list()]
    return render_template(
        "profiles.html", section=SECTION, profiles=[row for row in every if row[0].kind == "profile"],
        layers=[row for row in every if row[0].kind != "profile"], secrets=verbs.secrets.list(),
    )  # fmt: skip


def _target(one: AnswerText) -> str:
    return str(tomllib.loads(one.text).get("target", ""))


@blueprint.route("/profiles/new", methods=["GET", "POST"])
def new() -> ResponseReturnValue:
    ref = request.form.get("ref", request.args.get("ref", "")).strip()
    if request.method == "GET":
        text = _copied(request.args.get("from", "")) or (
            FRESH if ":" not in ref and ref != "defaults" else ""
        )
        return _page(
            Draft(ref, None, ProfileForm.of_text(text), has_comments(text), text), Form(), fresh=True
        )
    return _sent(Draft.of_request(ref, None), fresh=True)


def _copied(ref: str) -> str:
    return appliance().profiles.get(ref).text if ref else ""


@blueprint.route("/profile/<ref>", methods=["GET", "POST"])
def edit(ref: str) -> ResponseReturnValue:
    stored = appliance().profiles.get(ref)
    newest = appliance().profiles.get(stored.ref)
    if request.method == "POST":
        return _sent(Draft.of_request(stored.ref, newest), fresh=False)
    as_text = request.args.get("mode") == "text" or has_comments(stored.text)
    draft = Draft(stored.ref, newest, ProfileForm.of_text(stored.text), as_text, stored.text)
    return _page(draft, Form(), fresh=False)


@blueprint.post("/profiles/preview")
def preview() -> ResponseReturnValue:
    """The part beside the form, for the form as it was sent."""
    ref = request.form.get("ref", "")
    draft = Draft.of_request(ref, _stored(ref))
    return render_template("profile_result.html", draft=draft, shown=_shown(draft))


@blueprint.post("/profiles/hash")
def hash_password() -> ResponseReturnValue:
    """The hash of a password that was typed, to stand in the form. It is neither kept nor logged."""
    try:
        return Response(typed_hashed(request.form.get("password", "")), mimetype="text/plain")
    except Invalid as error:
        return Response(sentence(str(error)), 422, mimetype="text/plain")


def _stored(ref: str) -> AnswerText | None:
    try:
        return appliance().profiles.get(ref)
    except (NotFound, Invalid):
        return None


def _sent(draft: Draft, fresh: bool) -> ResponseReturnValue:
    """A button of the form."""
    what = request.form.get("do", "save")
    form = Form({"ref": draft.ref, "comment": draft.comment})
    if what.startswith("add:") and what[4:] in draft.form.rows:
        draft.form.add_row(what[4:])
    elif what in ("form", "text"):
        _other_mode(draft, form, what == "text")
    elif what == "save":
        if draft.text is None:
            form.refuse("", draft.wrong)
        else:
            attempt(form, lambda: _save(draft, fresh), ("ref", "comment"))
        if form.good:
            flash(f"{read_ref(draft.ref)} is saved.")
            return redirect(url_for("profiles.edit", ref=str(read_ref(draft.ref))))
    return _page(draft, form, fresh), 200 if form.good else 422


def _save(draft: Draft, fresh: bool) -> None:
    sent = request.form.get("base", "")
    base = 0 if fresh else int(sent) if sent.isascii() and sent.isdigit() else None
    text = draft.text or ""
    if not draft.as_text and draft.base and text == _as_the_form_writes(draft.base.text):
        text = draft.base.text  # nothing was changed, so no version is made
    try:
        appliance().profiles.save(draft.ref, text, str(g.user), draft.comment, base)
    except Conflict as error:
        raise Conflict(f"{draft.ref} is there already: open it instead" if fresh else str(error)) from error


def _other_mode(draft: Draft, form: Form, to_text: bool) -> None:
    if draft.text is None:
        form.refuse("", draft.wrong)
        return
    try:
        draft.form = ProfileForm.of_text(draft.text)
    except tomllib.TOMLDecodeError as error:
        form.refuse("", sentence(str(error)))
        return
    draft.as_text = to_text


def _page(draft: Draft, form: Form, fresh: bool) -> str:
    shown = _shown(draft)
    for finding in shown.made.rendered.findings if shown.made else ():
        if not finding.warning and finding.field:
            draft.form.blame(finding.field, finding.text)
    users = appliance().profiles.users_of(draft.ref) if not fresh else []
    history = appliance().profiles.history(draft.ref) if not fresh else []
    return render_template(
        "profile.html", section=SECTION, draft=draft, form=form, fresh=fresh, parts=parts(), shown=shown,
        users=users, history=history, nodes=_choosable(users),
    )  # fmt: skip


def _choosable(users: Sequence[Node]) -> Sequence[Node]:
    """Whose answers may be looked at: those that it is for, then others."""
    others = [node for node in appliance().nodes.list() if node not in users]
    return [*users, *others][:MOST_NODES]


def _shown(draft: Draft) -> Shown:
    if draft.text is None:
        return Shown(None, loose=[Finding(draft.wrong)])
    base = draft.base
    changes = ""
    if base is not None:
        changes = _changes(base, draft.text, draft.as_text)
    try:
        made = appliance().profiles.preview(draft.ref or "new", draft.text, draft.node)
    except BootsrvError as error:
        return Shown(None, loose=[Finding(sentence(str(error)))], changes=changes)
    lines = made.rendered.text.splitlines()
    at_lines: dict[int, list[Finding]] = {}
    loose = []
    for finding in made.rendered.findings:
        if 1 <= finding.line <= len(lines):
            at_lines.setdefault(finding.line, []).append(finding)
        if not finding.line or finding.line > len(lines) or not finding.warning:
            loose.append(finding)
    numbered = [(line, at_lines.get(number, [])) for number, line in enumerate(lines, 1)]
    return Shown(made, numbered, loose, changes)


def _changes(base: AnswerText, text: str, as_text: bool) -> str:
    before = base.text
    if not as_text:
        before, text = _as_the_form_writes(before), _as_the_form_writes(text)
    return difference(before, text, f"version {base.number}", "as it stands here")


def _as_the_form_writes(text: str) -> str:
    """So that the order of lines and blank ones are no change."""
    return ProfileForm.of_text(text).text()


@blueprint.get("/profile/<ref>/history")
def history(ref: str) -> ResponseReturnValue:
    """Every version, with what it changed."""
    found = appliance().profiles.history(ref)
    older = [*found[1:], None]
    steps = [
        (new, difference(old.text if old else "", new.text, f"version {old.number}" if old else "nothing",
                         f"version {new.number}"))
        for new, old in zip(found, older, strict=True)
    ]  # fmt: skip
    return render_template("profile_history.html", section=SECTION, ref=found[0].ref, steps=steps)


@blueprint.route("/profile/<ref>/remove", methods=["GET", "POST"])
def remove(ref: str) -> ResponseReturnValue:
    stored = appliance().profiles.get(ref)
    form = Form()
    if request.method == "POST":
        attempt(form, lambda: appliance().profiles.remove(stored.ref), ())
        if form.good:
            flash(f"{stored.ref} was removed.")
            return redirect(url_for("profiles.listing"))
    page = render_template("profile_remove.html", section=SECTION, ref=stored.ref, form=form)
    return page, 200 if form.good else 422


@blueprint.post("/profiles/secrets")
def secret() -> ResponseReturnValue:
    """Set one; nothing ever shows it again."""
    name = request.form.get("name", "").strip()
    appliance().profiles.secrets.set(name, request.form.get("value", ""))
    flash(f"The secret {name} is set.")
    return redirect(url_for("profiles.listing"))
