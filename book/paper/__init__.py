"""An edition on paper: its pages as one tagged PDF."""
