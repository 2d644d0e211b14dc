"""The browser app on top of clipmini: one file a tab, all offline."""
