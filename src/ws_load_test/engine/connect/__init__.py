"""Opens a connection: name, proxy, TCP, TLS, opening handshake."""
