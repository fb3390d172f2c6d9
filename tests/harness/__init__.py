"""What every tier's tests share."""
