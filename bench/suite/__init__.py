"""The benchmark suite: tmd next to the lower bound and next to other programs."""
