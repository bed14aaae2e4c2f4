"""What users do from end to end, in the miniature's size: minutes each, so scripts (`make journeys`) and no tests."""
