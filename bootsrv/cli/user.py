"""`bootsrv user`: who may log in to the page and the REST API."""

from __future__ import annotations

import sys

import click

from bootsrv.cli.context import Context, as_json, pass_context, said, show_json, show_table


@click.group()
def user() -> None:
    """Who may log in."""


@user.command()
@click.argument("name", default="admin")
@click.option("--generate", is_flag=True, help="Make one and print it.")
@as_json
@pass_context
def passwd(context: Context, name: str, generate: bool, json_: bool) -> None:
    """Give a user a password, making the user if there is none. Without a terminal it is read from standard
    input."""
    from bootsrv.appliance.users import new_password

    if generate:
        password = new_password()
    elif sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    context.appliance.users.set_password(name, password)
    record = {"name": name} | ({"password": password} if generate else {})
    said(record, f"{name}: {password}" if generate else f"{name}: password set", json_)


@user.command(name="list")
@as_json
@pass_context
def list_(context: Context, json_: bool) -> None:
    """Everybody who may log in."""
    found = context.appliance.users.list()
    if json_:
        show_json([{"name": name} for name in found])
        return
    show_table(("USER",), [(name,) for name in found], "nobody yet: `bootsrv user passwd` makes admin")


@user.command()
@click.argument("name")
@as_json
@pass_context
def remove(context: Context, name: str, json_: bool) -> None:
    """A user and all tokens of theirs."""
    context.appliance.users.remove(name)
    said({"removed": name}, f"{name} removed", json_)


@user.command()
@click.argument("name", default="admin")
@as_json
@pass_context
def token(context: Context, name: str, json_: bool) -> None:
    """A token for the REST API, valid for a year: `Authorization: Bearer TOKEN`."""
    made = context.appliance.users.issue_token(name)
    said({"name": name, "token": made}, made, json_)
