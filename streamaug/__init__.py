"""streamaug streams sharded WebDataset tars through one DALI graph into training loops."""
