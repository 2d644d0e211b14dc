"""The canvas of the map: its script, its style, its HTML, and what is sent to it."""
