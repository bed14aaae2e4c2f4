"""Built-in data: rendered scenes of people, written to disk in the formats of the real data sets."""

from pipeline.synthesis.write import SynthesisSettings, write_data_set

__all__ = ["SynthesisSettings", "write_data_set"]
