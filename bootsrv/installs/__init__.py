"""Installations by the distributions' own installers: what they are told, what they fetch, what they say."""
