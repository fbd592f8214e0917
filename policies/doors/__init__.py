"""The doors: how a stack's resources come to the rules where no engine asks."""
