"""Search quality, measured on judged questions through the product's own pipeline."""
