"""One session, one message, every step explained."""
