"""Small classifiers trained here, and the metrics that use them."""
