"""The checks of the exercises, a module for each chapter: whether an answer solves one, never what solves it."""
