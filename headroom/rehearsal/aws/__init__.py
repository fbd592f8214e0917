"""The simulated AWS of a rehearsal: moto behind HTTP, with what moto lacks or forgives added here."""
