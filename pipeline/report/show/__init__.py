"""`ccm show`: what an artefact holds, in words and as pictures."""
