"""Where pairs come from; every source becomes a `datasets.Dataset` with columns image and captions."""
