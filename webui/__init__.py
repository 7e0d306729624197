"""How people see it: the web page and the REST API."""
