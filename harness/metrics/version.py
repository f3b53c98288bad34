"""Which version of the protocol of metrics this is: results of two versions never share a board."""

# To be raised with whatever changes a metric's value on the same scores: `harness.metrics.protocol`, the curves below
# it, segments, alarms, how rows become frames. `tests/metrics/test_version.py` notices such a change.
PROTOCOL_VERSION = 1
