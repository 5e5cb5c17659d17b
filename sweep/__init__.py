"""What a sweep is, where it is kept and what it says; shared by service and worker."""
