"""The set-up: finds, fetches or builds what a rehearsal needs beside the checkout. Standard library only."""
