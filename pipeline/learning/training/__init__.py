"""The training engine of all keypoint models: jobs, optimisation, resume, validation, several processes."""
