"""The lab: Azure's fabric, the internal load balancer and a two-node cluster, in namespaces on one Linux machine."""
