"""Makes task models: data, loop, evaluation, export. House models need the extra `train`, a classifier does not."""
