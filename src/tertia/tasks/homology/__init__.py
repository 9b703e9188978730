"""Which fold a domain has when its superfamily was never seen: from its sequence."""
