"""Makes a cluster on Azure from one template, and removes it again."""
