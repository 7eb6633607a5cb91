"""Updates: what changed between two artifacts, small enough to ship, and the new artifact made of it and the old one."""
