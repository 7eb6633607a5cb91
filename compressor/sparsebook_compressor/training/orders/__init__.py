"""Training orders: a graph whose weights are parameters, how it is trained, and what came back."""
