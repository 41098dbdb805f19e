"""Misconfigurations of the Azure side (filled in later)."""


class Wrongs:
    def on_interface(self, fabric, nic, said): ...
    def on_balancer(self, fabric, said): ...
    def on_subnet(self, fabric, name, said): ...
    def on_effective_routes(self, fabric, nic, routes): ...
    def route_tables(self, fabric):
        return []

    def list(self):
        return []

    def clear(self, fabric): ...


def sentences():
    return {}
