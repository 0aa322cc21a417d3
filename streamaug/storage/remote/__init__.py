"""Remote objects, from the top: objects (retries, versions), stores (single requests), providers, failures."""
