"""What a language model reads: tokenizers, chat templates, and samples of every format as tokens."""
