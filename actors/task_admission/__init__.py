"""Task admission: when dependency-ready work may become a running worker."""
