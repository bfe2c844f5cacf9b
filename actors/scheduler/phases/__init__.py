"""The phases of the scheduler, one per module: idle, preparing, running, ending; and orphaned."""
