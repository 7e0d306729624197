"""Passwords in the clear, as kickstart files have them: none of them enters a profile.

What an installer takes as a hash becomes one. What it must have in the clear becomes a secret that lies
beside the profile, which has `secret:NAME` in its place: `put` gives it back when the file is written.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping

from pxe.answers.errors import Finding
from pxe.answers.kickstart.form import quote
from pxe.answers.text import is_line

Hasher = Callable[[str], str]
_KINDS = "passphrase|password|wpakey|wepkey|activation-key"
# --no-password and --backuppassphrase have no value.
_OPTION = re.compile(rf"--(?!no-|backup)[a-z-]*({_KINDS})\Z")
_ACCOUNTS = ("rootpw", "sshpw")  # whose password has no option before it; it may have blanks
_NAMED = re.compile(rf"(--[a-z-]*(?:{_KINDS}))=secret:([A-Za-z0-9_.-]+)\Z")
_LOADERS = ("bootloader", "lilo")


class Clear:
    """Takes them out of one file. `secrets`: by name, what an installer must have in the clear."""

    def __init__(self, hasher: Hasher, loader_hasher: Hasher, say: Callable[[Finding], None]) -> None:
        self._hasher, self._loader_hasher, self._say = hasher, loader_hasher, say
        self.secrets: dict[str, str] = {}

    def hashed(self, text: str, whose: str, line: int) -> str:
        """The hash of an account's password."""
        self._say(Finding(f"{whose}: the plain password was replaced by its hash", "", line, True))
        return self._hasher(text)

    def loader_hashed(self, text: str, line: int) -> str:
        """The hash of a boot loader's password."""
        self._say(Finding("bootloader: the plain password was replaced by its hash", "", line, True))
        return self._loader_hasher(text)

    def secret(self, text: str, what: str, line: int) -> str:
        """The reference to what is a secret now. `what`: "passphrase", "password", ..."""
        name = f"{'luks' if what == 'passphrase' else what}-{len(self.secrets) + 1}"
        self.secrets[name] = text
        field = "disks" if what == "passphrase" else ""
        self._say(Finding(f"the {what} is kept as the secret {name}", field, line, True))
        return f"secret:{name}"

    def has(self, words: tuple[str, ...]) -> bool:
        """Whether a line has one in the clear."""
        found = Clear(str, str, lambda finding: None)._words(words, 0)
        return list(found) != list(_joined(words))

    def line(self, words: tuple[str, ...], line: int) -> str | None:
        """A line that stays as it is, but for its passwords; None where it has none in the clear."""
        done = list(self._words(words, line))
        return " ".join(map(quote, done)) if done != list(_joined(words)) else None

    def _words(self, words: tuple[str, ...], line: int) -> Iterator[str]:
        command, crypted = words[0], "--iscrypted" in words
        yield command
        said = list(_joined(words))[1:]
        password = "" if crypted else _account_password(command, said)
        for word in said:
            option, _, text = word.partition("=")
            found = _OPTION.match(option)
            told = command in (*_ACCOUNTS, "user") and not crypted and option == "--plaintext"
            if told or (password and not word.startswith("--")):
                continue
            if not found or not text or (crypted and option == "--password"):
                yield word
            elif command == "user":
                yield from ("--iscrypted", f"{option}={self.hashed(text, command, line)}")
            elif command in _LOADERS:
                made = self.loader_hashed(text, line)
                old = made.startswith("$1$")
                yield from ([f"--md5pass={made}"] if old else ["--iscrypted", f"{option}={made}"])
            else:
                yield f"{option}={self.secret(text, found[1], line)}"
        if password:
            yield from ("--iscrypted", self.hashed(password, command, line))


def _account_password(command: str, said: list[str]) -> str:
    """The words that are one; "" where there is none, as with a key."""
    if command not in _ACCOUNTS or "--sshkey" in said:
        return ""
    return " ".join(word for word in said if not word.startswith("--"))


def _joined(words: tuple[str, ...]) -> Iterator[str]:
    """The words, an option of a password or of its account and its value as one."""
    rest = iter(words)
    for word in rest:
        yield f"{word}={next(rest, '')}" if _OPTION.match(word) or word == "--username" else word


def in_the_clear(line: str) -> bool:
    """Whether a line that a profile keeps has a password which is neither a hash nor a secret's name."""
    try:
        words = tuple(shlex.split(line, comments=True))
    except ValueError:
        return False  # no installer reads it
    if not words or words[0].startswith("%"):
        return False
    crypted = "--iscrypted" in words and words[0] in (*_ACCOUNTS, "user", *_LOADERS)
    said = list(_joined(words))
    plain = [_account_password(words[0], said[1:])]
    for option, _, text in (word.partition("=") for word in said):
        plain += [text] if _OPTION.match(option) else []
    return not crypted and any(text and not text.startswith(("$", "secret:", "grub.pbkdf2.", "!", "*"))
                               for text in plain)  # fmt: skip


def put(line: str, secrets: Mapping[str, str], say: Callable[[Finding], None]) -> str:
    """A directive with the secrets that it names; only a whole word is one, never a part of a text."""
    if "=secret:" not in line:
        return line
    words = shlex.split(line, comments=True)
    done = [_put(word, secrets, say) for word in words]
    return line if done == words else " ".join(map(quote, done))


def _put(word: str, secrets: Mapping[str, str], say: Callable[[Finding], None]) -> str:
    found = _NAMED.match(word)
    if found is None:
        return word
    text = secrets.get(found[2])
    if text is None:
        say(Finding(f"there is no secret named {found[2]}", "disks"))
    elif not is_line(text):
        say(Finding(f"the secret {found[2]} has a line break or a control character", "disks"))
    return f"{found[1]}={text}"
