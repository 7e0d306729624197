"""The directives that are no more than a word or a value, each with its age; written and read by one
table."""

from __future__ import annotations

from pxe.answers.kickstart.age import ALWAYS, Age

# Directive -> (field of Legacy, age): present or not.
LEGACY_FLAGS = {
    "interactive": ("interactive", Age("", "F15 R7", "answer every question in the file")),
    "deviceprobe": ("device_probe", Age("", "F34 R9", "devices are found by themselves")),
    "lilocheck": ("lilo_check", Age("", "F4 R5", "GRUB is the only boot loader")),
    "skipx": ("skip_x", ALWAYS),
    "install": ("install", Age("", "F34 R9", "it is implied")),
    "upgrade": ("upgrade", Age("", "F29 R7", "upgrade with the distribution's own tool")),
}
AUTOSTEP = Age("", "F40 R10", "use text or cmdline")

# What happens at the end; RHL 7.2 knows only the first.
ENDS = {
    "reboot": ALWAYS,
    "poweroff": Age("F3 R3", "", "use reboot"),
    "halt": Age("F3 R3", "", "use reboot"),
    "shutdown": Age("F3 R3", "", "use reboot"),
}
DISPLAYS = {"text": ALWAYS, "graphical": ALWAYS, "cmdline": Age("F3 R3", "", "use text")}

SELINUX = Age("F3 R4", "", "leave it out")
SELINUX_STATES = ("enforcing", "permissive", "disabled")
FIRSTBOOT = Age("F3 R3", "", "leave it out")
FIRSTBOOT_STATES = {"--enable": "enable", "--enabled": "enable", "--disable": "disable",
                    "--disabled": "disable", "--reconfig": "reconfig"}  # fmt: skip
EULA = Age("F20 R7", "", "leave it out")
AUTHSELECT = Age("F28 R8", "", "use auth")
REQPART = Age("F23 R7", "", "give the partitions")
IGNORE_ONLY = Age("F8 R4", "", "name disk in each partition")
LAYOUTS = Age("F18 R7", "", "keyboard alone sets it")
ADDSUPPORT = Age("F19 R7", "", "add the language packs to packages")
LANGSUPPORT = Age("", "F7 R6", "use more_languages")
LOCK = Age("F18 R7")  # before, --lock wanted a password too
ALLOW_SSH = Age("F37 R9", "", "leave it out: a password may be used there by default")
NTP_SERVERS = Age("F18 R7", "", "write ntp.conf in a %post script")
TIMESOURCE = Age("F33 R9")
SSHKEY = Age("F22 R8")
ENDED = Age("F8 R6")  # sections with %end
ZEROMBR_BARE = Age("F9 R6")
KEXEC = Age("F23 R8", "", "use reboot alone")
EJECT = Age("F6 R5", "", "leave it out")
INSTALL_WORD = Age("", "F29 R8")
