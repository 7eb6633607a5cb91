"""Who may do what: API keys, their scopes, quotas and rates, and the addresses on which none are needed."""
