"""The people's door: pages, and `app.py`, the one place where the program is assembled."""
