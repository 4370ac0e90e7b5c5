# TLS connections that Python's ssl has made: where OpenSSL has them (`tls.h` goes on with them).

def find_tls(str module):
    """Looks for OpenSSL among what a module is linked with. Returns True if it is there; needed before `tls_of`."""
    return bool(ws_tls_find(module.encode()))


def tls_of(object ssl_object):
    """Returns the address of OpenSSL's connection in an `ssl.SSLObject`; 0 if its place is not as it is known.

    The place is private to CPython (Modules/_ssl.c, PySSLSocket): behind the head of the object and a reference to its
    socket, before one to its context, which must be the one that Python knows. Only then it is looked at.
    """
    inner = getattr(ssl_object, "_sslobj", None)
    if type(inner).__name__ != "_SSLSocket" or type(inner).__basicsize__ < <Py_ssize_t>(5 * sizeof(void *)):
        return 0
    cdef void **fields = <void **><void *>inner
    if fields[4] != <void *>ssl_object.context or not fields[3]:
        return 0
    version = ssl_object.version()
    if not ws_tls_has_buffers(fields[3]) or (version and ws_tls_version(fields[3]) != <bytes>version.encode()):
        return 0
    return <size_t>fields[3]
