"""How is a language model asked? Once, through a ledger, with every failure typed. Start at ``client.LLM``.

Nothing is imported here: openai, litellm and their kin load when the first request is sent.
"""
