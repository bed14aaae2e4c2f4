"""People out to be labelled, and corrected labels back in (section 6.5: annotate the hard keypoints)."""
