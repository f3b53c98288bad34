"""Metrics of predictions against ground truth; the only place that sees test labels."""
