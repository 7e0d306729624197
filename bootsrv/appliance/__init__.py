"""The verbs on the appliance, by noun. CLI, REST API and web page call these and nothing below them."""
