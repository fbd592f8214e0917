"""Stand-in Pulumi providers: ordinary provider processes that the real engine drives in a rehearsal."""
