"""What the two clients have in common, free of input and output: what is sent, what answers mean, when to try again."""
