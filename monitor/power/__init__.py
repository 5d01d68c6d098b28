"""What the configured rules can detect at the traffic there is, how fast, and at what price in false pages."""
