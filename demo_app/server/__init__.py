"""The app among many visitors: its queue, what one request may ask, its HTTP manners, its folder, its end."""
