"""Dataset cards, importers, the feature bank and the sampling of training batches."""
