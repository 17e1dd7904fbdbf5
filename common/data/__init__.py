"""Images and labels: archives in their original order, batches, augmentation, drawn stand-ins."""
