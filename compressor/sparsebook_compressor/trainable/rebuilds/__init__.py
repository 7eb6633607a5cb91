"""Ops rebuilt from ones that have a gradient, exactly: one function a family member, all of them `Draft -> sentence`.

A rebuild returns what the report says of it, or None where the node may stay as it is. It raises CannotRewriteError where the
node is of a form that it does not know.
"""
