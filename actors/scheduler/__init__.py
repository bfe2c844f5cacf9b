"""The scheduler: control flow of a job, from its row groups to its result."""
