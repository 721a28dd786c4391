"""This course beside the floor, and beside what one would write first, in one run."""
