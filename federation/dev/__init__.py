"""The development federation: regions and store servers that `fedml dev up` runs on this machine for one project."""
