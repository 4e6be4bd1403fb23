"""Language models: tokens to states, and states to the chances of tokens."""
