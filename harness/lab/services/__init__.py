"""The services that the lab's nodes protect. They run inside the nodes: standard library only, quick to start."""
