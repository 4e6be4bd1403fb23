"""Rules of quality, one file for each source; `rule.RULES` imports them at the first look-up."""
