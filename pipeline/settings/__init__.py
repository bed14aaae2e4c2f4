"""What params.yaml may say, the profiles it starts from, and edits of it by command."""
