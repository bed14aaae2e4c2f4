"""From the files that somebody has to params that run: `ccm init`."""
