"""The uncompressed LeNets of the paper's tables, and the script that trained them."""
