"""The isolated engine and registry, and what is known and asked of the machine around them."""
