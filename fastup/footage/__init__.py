"""From tape to frames and pairs, one chore a file."""
