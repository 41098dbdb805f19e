"""Disruptions of the protected service, its probe responder and its storage."""
