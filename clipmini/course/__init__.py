"""The course's own code: the checkers of its exercises, a file a lesson."""
