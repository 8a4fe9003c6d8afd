"""State-space and recurrent mixers on our own scan."""
