"""Pages that people look at: one HTML file each, with all that it shows in it."""
