"""AutoYaST profiles, for SUSE's installer."""
