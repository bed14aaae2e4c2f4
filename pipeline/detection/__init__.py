"""The person detector: training it, running it, measuring it, and mining its mistakes."""
