"""Prefect flows over the DVC graph. The only room that imports prefect."""
