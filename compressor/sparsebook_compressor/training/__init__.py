"""Fine-tuning, asked for through files: the order and the dataset that a worker gets, the result that it gives back."""
