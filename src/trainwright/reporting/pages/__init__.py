"""What the report says, section by section: plain values and messages, which the templates lay out."""
