"""Single connections and tunnels made from a host, with or without Python there."""
