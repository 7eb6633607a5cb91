"""Rewriting a model in place: coded weights become operator nodes, standard nodes, or plain floats again."""
