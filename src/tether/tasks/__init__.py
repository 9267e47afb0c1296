"""What is learned: data, batches, loss and scores."""
