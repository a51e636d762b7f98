"""What is run beside the product: data, training, evaluation, benchmarks."""
