"""What is true: money, prices, ledger rules, forecast, policy, plan, advice.

Nothing here reads a clock, a file, the network, the environment or a log. What a function needs
arrives as an argument, `now` included, so every answer can be replayed.
"""
