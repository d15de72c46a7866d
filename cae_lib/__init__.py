"""The engine of a lab report: a convolutional autoencoder, its training, and the pure functions around them."""
