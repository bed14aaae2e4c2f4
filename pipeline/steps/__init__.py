"""One module per stage; `run` reads the stage's inputs and writes its outputs."""
