"""Pure analysis: frames in, frozen results out."""
