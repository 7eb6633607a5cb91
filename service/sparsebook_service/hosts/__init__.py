"""Hosts: who shares the work, what each has room for, and who is gone."""
