"""Remote objects, from the top: objects (retried, in one version), stores (single requests), providers, failures."""
