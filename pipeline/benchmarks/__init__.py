"""How long the parts take, measured where it runs, with the conditions beside every figure."""
