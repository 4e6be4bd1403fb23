"""What the user asked for: a frozen recipe, its budget, and its YAML with positions."""
