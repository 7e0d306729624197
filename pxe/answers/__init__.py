"""Answer files: one model of an unattended installation, written for the installer that will read it."""
