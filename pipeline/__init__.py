"""What happens to the data: steps with files in and files out, tables, training, evaluation, report."""
