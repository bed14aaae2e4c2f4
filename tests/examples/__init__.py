"""What CONTRIBUTING.md shows how to add, as an example each: the edits of files, and a check that the thing works."""
