"""Language models behind OpenAI-compatible endpoints: recipe section -> client -> answers, kept in a journal."""
