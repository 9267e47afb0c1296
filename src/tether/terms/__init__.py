"""Terms: what a batch adds to the loss; an objective is their sum, and goes through each model once a step."""
