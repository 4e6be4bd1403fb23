"""The command line: words to verbs, errors to sentences, results to text or JSON."""
