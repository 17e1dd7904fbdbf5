"""Networks: as functions from pixels to logits, on disk, released, and as TF1 knew them."""
