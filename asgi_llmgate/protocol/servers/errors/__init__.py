"""What the error responses of model servers mean."""
