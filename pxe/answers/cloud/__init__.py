"""Answer files read by cloud-init: Ubuntu's autoinstall, and NoCloud for images that are ready to boot."""
