"""The same operations before and after others have stored a hundred times as much."""
