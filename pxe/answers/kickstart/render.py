"""Writes a profile as a kickstart file for one target, or says all that keeps it from being written.

The law: what is written is understood by the target. Whatever it would not understand is a finding with the
profile's field, and then nothing is written (`Unfit`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from pxe.answers.errors import Finding, Unfit
from pxe.answers.kickstart import simple
from pxe.answers.kickstart.age import Age
from pxe.answers.kickstart.clear import in_the_clear, put
from pxe.answers.kickstart.directives import Directives, by_script, keys_of
from pxe.answers.kickstart.form import quote
from pxe.answers.kickstart.lexer import SECTIONS
from pxe.answers.profile import Packages, Profile, Step, When
from pxe.answers.shell import account_script, first_boot_script, key_script
from pxe.answers.targets import Target

_PRE_INSTALL = Age("F24 R7", "", "use %pre")
_ON_ERROR = Age("F25 R8", "", "leave it out")
_HEADERS = {When.PRE: "%pre", When.PRE_INSTALL: "%pre-install", When.POST: "%post", When.ERROR: "%onerror"}
_AGES = {When.PRE_INSTALL: _PRE_INSTALL, When.ERROR: _ON_ERROR}
_LEAVES = frozenset(("%end", "%include")) | SECTIONS


def render(profile: Profile, target: Target, secrets: Mapping[str, str] | None = None) -> str:
    """The file's text. `secrets`: passphrases by name, for `secret:NAME`. Raises Unfit with every finding."""
    findings: list[Finding] = []
    say = findings.append
    for number, kept in enumerate(profile.raw):
        if not kept.section and any(map(in_the_clear, kept.lines)):
            say(Finding("a password in the clear; give its hash, or secret:NAME", f"raw[{number}]"))
    lines = [put(line, secrets or {}, say) for line in _directives(profile, target, say)]
    text = "\n".join([*lines, *_sections(profile, target, say)]) + "\n"
    if findings:
        raise Unfit(findings)
    return text


def _directives(profile: Profile, target: Target, say: Callable[[Finding], None]) -> list[str]:
    kept = {line.split()[0] for one in profile.raw if not one.section for line in one.lines if line.split()}
    # A kept line of a directive that nothing else of the file said: our own would come after it and win.
    kept -= set(profile.order)
    kept |= {"install"} if "upgrade" in kept else set()
    named = [one for one in Directives(profile, target, say).lines() if one[0] not in kept]
    if profile.order:
        named = _in_order(named, profile.order)
    raw: dict[int, list[str]] = defaultdict(list)
    for one in profile.raw:
        if not one.section:
            raw[min(one.after, len(named))] += one.lines
    lines = list(raw.get(0, ()))
    for number, (_, line) in enumerate(named, 1):
        lines += [line, *raw.get(number, ())]
    return lines


def _in_order(named: list[tuple[str, str]], order: tuple[str, ...]) -> list[tuple[str, str]]:
    """The directives where the imported file had them; new ones behind."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(order):
        places[name].append(place)
    met: dict[str, int] = defaultdict(int)
    keyed = []
    for number, (name, line) in enumerate(named):
        known = places[name]
        place = known[min(met[name], len(known) - 1)] if known else len(order)
        met[name] += 1
        keyed.append((place, number, name, line))
    return [(name, line) for _, _, name, line in sorted(keyed)]


def _sections(profile: Profile, target: Target, say: Callable[[Finding], None]) -> Iterator[str]:
    end = ["%end"] if simple.ENDED.refusal("", target) is None else []
    gap = [""] if end else []  # without %end, a blank line would be the section's own
    if profile.packages.none and profile.packages != Packages(none=True):
        say(Finding("says that there is no package section, beside what is to be in it", "packages.none"))
    if not profile.packages.none:
        yield from [*gap, *_packages(profile.packages), *end]
    for number, step in enumerate(profile.scripts):
        lines = list(_script(step, f"scripts[{number}]", target, say))
        yield from [*gap, *lines, *end] if lines else ()
    if at_first := first_boot_script(profile.scripts):
        yield from [*gap, "%post", *at_first.splitlines(), *end]
    for user in profile.users:
        if by_script(user, target):
            yield from [*gap, "%post", *account_script(user).splitlines(), *end]
    if simple.SSHKEY.refusal("", target) is not None:
        for name, key in keys_of(profile):
            yield from [*gap, "%post", *key_script(name, key).splitlines(), *end]
    for one in profile.raw:
        if one.section:
            yield from [*gap, *one.lines]


def _packages(packages: Packages) -> Iterator[str]:
    yield " ".join(["%packages", *map(quote, packages.options)])
    if packages.all:
        yield "*"
    if packages.default:
        yield "@Everything" if packages.all else "@core"
    if packages.environment:
        yield f"@^{packages.environment}"
    yield from (f"@{name}" for name in packages.groups)
    yield from packages.names
    yield from (f"-@{name}" for name in packages.without_groups)
    yield from (f"-{name}" for name in packages.without)


def _leaves(line: str) -> bool:
    """Whether Anaconda takes a script's line for its own: by the whole first word, but for %ksappend."""
    first = (line.split(None, 1) or [""])[0]
    return first in _LEAVES or first.startswith("%ksappend")


def _script(step: Step, where: str, target: Target, say: Callable[[Finding], None]) -> Iterator[str]:
    for number, line in enumerate(step.text.splitlines(), 1):
        if _leaves(line):
            say(Finding(f"line {number} of the script would end it: {line.strip()[:40]}", f"{where}.text"))
    if step.when is When.FIRST_BOOT:
        return  # all of these together, behind the others
    header = _HEADERS[step.when]
    refusal = _AGES[step.when].refusal(header, target) if step.when in _AGES else None
    if refusal:
        say(Finding(refusal, where))
    words = [header]
    words += ["--nochroot"] if step.outside else []
    words += [f"--interpreter={step.interpreter}"] if step.interpreter else []
    words += ["--erroronfail"] if step.stop_on_error else []
    words += [f"--log={step.log}"] if step.log else []
    yield " ".join(map(quote, words))
    yield from step.text.splitlines()
