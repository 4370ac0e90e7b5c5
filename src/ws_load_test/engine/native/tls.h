/* TLS of a session whose handshake Python's ssl has made: the libssl that Python itself has loaded reads and writes on.
 *
 * No header of OpenSSL is needed, and no other copy of it: the functions are looked up among what Python's _ssl module is
 * linked with. Where they are not to be found (a Python that holds OpenSSL in itself), sessions under TLS are not lent.
 */
#ifndef WS_LOAD_TEST_TLS_H
#define WS_LOAD_TEST_TLS_H

#include <dlfcn.h>
#include <stddef.h>

enum { WS_TLS_WANT_READ = 2, WS_TLS_END = 6 }; /* SSL_ERROR_WANT_READ, SSL_ERROR_ZERO_RETURN */

static struct {
    int (*read)(void *ssl, void *data, int size);
    int (*write)(void *ssl, const void *data, int size);
    int (*error)(const void *ssl, int result);
    const char *(*version)(const void *ssl);
    void *(*incoming)(const void *ssl);
    void *(*outgoing)(const void *ssl);
    int (*take)(void *bio, void *data, int size);
    int (*put)(void *bio, const void *data, int size);
    size_t (*pending)(void *bio);
    void (*forget_errors)(void);
    unsigned long (*last_error)(void);
    const char *(*reason)(unsigned long error);
} ws_tls;

/* Looks the functions up in what a module is linked with. Returns 1 if all are there. */
static int ws_tls_find(const char *module) {
    void *linked = dlopen(module, RTLD_LAZY | RTLD_NOLOAD);
    if (!linked) return 0;
    const struct { void **place; const char *name; } wanted[] = {
        {(void **)&ws_tls.read, "SSL_read"}, {(void **)&ws_tls.write, "SSL_write"},
        {(void **)&ws_tls.error, "SSL_get_error"}, {(void **)&ws_tls.version, "SSL_get_version"},
        {(void **)&ws_tls.incoming, "SSL_get_rbio"}, {(void **)&ws_tls.outgoing, "SSL_get_wbio"},
        {(void **)&ws_tls.take, "BIO_read"}, {(void **)&ws_tls.put, "BIO_write"},
        {(void **)&ws_tls.pending, "BIO_ctrl_pending"}, {(void **)&ws_tls.forget_errors, "ERR_clear_error"},
        {(void **)&ws_tls.last_error, "ERR_peek_last_error"}, {(void **)&ws_tls.reason, "ERR_reason_error_string"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!(*wanted[i].place = dlsym(linked, wanted[i].name))) return 0;
    return 1;
}

static inline int ws_tls_read(void *ssl, void *data, int size) {
    ws_tls.forget_errors();
    return ws_tls.read(ssl, data, size);
}
static inline int ws_tls_write(void *ssl, const void *data, int size) {
    ws_tls.forget_errors();
    return ws_tls.write(ssl, data, size);
}
static inline int ws_tls_error(const void *ssl, int result) { return ws_tls.error(ssl, result); }
static inline const char *ws_tls_version(const void *ssl) { return ws_tls.version(ssl); }
static inline void ws_tls_put(void *ssl, const void *data, int size) { ws_tls.put(ws_tls.incoming(ssl), data, size); }
static inline int ws_tls_take(void *ssl, void *data, int size) {
    void *bio = ws_tls.outgoing(ssl);
    return ws_tls.pending(bio) ? ws_tls.take(bio, data, size) : 0;
}
static inline int ws_tls_has_buffers(const void *ssl) { return ws_tls.incoming(ssl) && ws_tls.outgoing(ssl); }
static inline const char *ws_tls_reason(void) { return ws_tls.reason(ws_tls.last_error()); }

#endif
