"""The page that runs in the browser: its scripts and styles, and `export`, which writes what they read."""
