"""Answer files as users meet them: files and secrets in, checked text or findings out."""
