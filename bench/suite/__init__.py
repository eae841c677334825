"""The benchmark suite: tmd beside the least that has to be done, and beside others."""
