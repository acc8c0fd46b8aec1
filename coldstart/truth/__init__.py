"""Known delays, injected into real starts: what every phase's figures are checked against."""
