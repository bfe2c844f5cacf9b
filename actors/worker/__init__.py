"""The worker: runs admitted tasks, makes their model calls, gives every token back."""
