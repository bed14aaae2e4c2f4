"""What data are here: tables, keypoint sets, image files, and artefacts that are written whole or not at all."""
