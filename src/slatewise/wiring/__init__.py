"""Settings to objects: the only room that knows every implementation. Holds no algorithm of its own."""
