"""Long proofs that the product keeps working, as scripts that print their figures: `make faults` runs them all."""
