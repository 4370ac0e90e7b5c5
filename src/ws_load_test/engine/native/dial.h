/* Dials of plain sessions: the TCP connection, the upgrade request, and the judgement of an ordinary answer (RFC 6455,
 * section 4). Plain C without Python, as `wire.h`.
 *
 * An answer is taken here if it is a 101 of HTTP/1.1 that grants what was asked for, and nothing else, in ASCII, with
 * lines that end as they should. Any other is *odd*: the connection goes to engine/connect/handshake.py with all that
 * has been read, where it is judged, and named if it is a fault. So what is taken here must be taken there, too.
 */
#ifndef WS_LOAD_TEST_DIAL_H
#define WS_LOAD_TEST_DIAL_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>

#include "backend_epoll.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24 /* the headers of glibc have it from 2.23 */
#endif

enum { WS_KEY = 24, WS_ACCEPT = 28, WS_KEY_BYTES = 16 }; /* in base64; bytes of chance in a key */
enum { WS_LARGEST_PLAIN_HEAD = 4096 }; /* bytes of an answer that are looked at here: servers send some hundred */

/* --- Sec-WebSocket-Accept ------------------------------------------------------------------------------------------- */

static inline uint32_t ws_rotated(uint32_t word, int by) { return word << by | word >> (32 - by); }

/* Takes in a block of SHA-1 (FIPS 180-4, section 6.1.2). */
static inline void ws_sha1_block(uint32_t state[5], const uint8_t *block) {
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++) w[i] = ws_rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20 ? ((b & c) | (~b & d)) + 0x5A827999
                   : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                   : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
                            : (b ^ c ^ d) + 0xCA62C1D6;
        uint32_t next = ws_rotated(a, 5) + f + e + w[i];
        e = d, d = c, c = ws_rotated(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* Writes bytes in base64, padded. */
static inline void ws_base64(char *out, const uint8_t *data, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (; size; data += 3, out += 4) {
        size_t some = size < 3 ? size : 3;
        uint32_t word = (uint32_t)data[0] << 16 | (some > 1 ? (uint32_t)data[1] << 8 : 0) | (some > 2 ? data[2] : 0);
        out[0] = digits[word >> 18];
        out[1] = digits[word >> 12 & 63];
        out[2] = some > 1 ? digits[word >> 6 & 63] : '=';
        out[3] = some > 2 ? digits[word & 63] : '=';
        size -= some;
    }
}

/* Writes the answer to a key: the base64 of the SHA-1 of it and a constant (RFC 6455, section 4.2.2). */
static inline void ws_accept_of(char accept[WS_ACCEPT], const char key[WS_KEY]) {
    uint8_t text[128] = {0}, digest[21] = {0};
    uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    memcpy(text, key, WS_KEY);
    memcpy(text + WS_KEY, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    /* 60 bytes, the bit behind them, and their number of bits, 480, in the last of 2 blocks. */
    text[60] = 0x80, text[126] = 480 >> 8, text[127] = 480 & 255;
    ws_sha1_block(state, text);
    ws_sha1_block(state, text + 64);
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
    ws_base64(accept, digest, 20);
}

/* --- The answer ----------------------------------------------------------------------------------------------------- */

typedef enum { WS_HEAD_ODD = -1, WS_HEAD_CUT = 0, WS_HEAD_GRANTED = 1 } ws_verdict;

/* What has come of the headers that matter. */
typedef struct {
    int upgrades, accepts, protocols, connections;
} ws_grants;

static inline int ws_is(const uint8_t *text, size_t size, const char *word) {
    return size == strlen(word) && !strncasecmp((const char *)text, word, size);
}

/* Returns 1 if a list with commas has an element, written alike. */
static inline int ws_lists(const char *list, size_t size, const uint8_t *text, size_t length, int any_case) {
    for (size_t from = 0; from <= size;) {
        const char *comma = memchr(list + from, ',', size - from);
        size_t next = comma ? (size_t)(comma - list) : size, to = next;
        while (from < to && list[from] == ' ') from++;
        while (to > from && list[to - 1] == ' ') to--;
        if (to - from == length && !(any_case ? strncasecmp(list + from, (const char *)text, length) : memcmp(list + from, text, length)))
            return 1;
        from = next + 1;
    }
    return 0;
}

/* Takes a header's line. Returns 0 if it is odd. */
static inline int ws_header(ws_grants *grants, const uint8_t *line, size_t size, const char *accept, const char *offered, size_t offers) {
    static const char marks[] = "!#$%&'*+-.^_`|~"; /* of tokens: RFC 9110, section 5.6.2 */
    size_t name = 0, end = size;
    for (; name < size && line[name] != ':'; name++) {
        uint8_t c = line[name];
        if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c && strchr(marks, c)))) return 0;
    }
    if (!name || name == size) return 0;
    for (size_t i = name + 1; i < size; i++)
        if (line[i] < ' ' || line[i] > '~') return 0;
    size_t from = name + 1;
    while (from < end && line[from] == ' ') from++;
    while (end > from && line[end - 1] == ' ') end--;
    const uint8_t *value = line + from;
    size_t length = end - from;
    if (ws_is(line, name, "upgrade")) return !grants->upgrades++ && ws_is(value, length, "websocket");
    if (ws_is(line, name, "connection")) {
        grants->connections += ws_lists((const char *)value, length, (const uint8_t *)"upgrade", 7, 1);
        return 1;
    }
    if (ws_is(line, name, "sec-websocket-accept"))
        return !grants->accepts++ && length == WS_ACCEPT && !memcmp(value, accept, WS_ACCEPT);
    if (ws_is(line, name, "sec-websocket-protocol"))
        return !grants->protocols++ && length && ws_lists(offered, offers, value, length, 0);
    /* Compression is Python's, and a body is a contradiction. */
    return !ws_is(line, name, "sec-websocket-extensions") && !ws_is(line, name, "content-length") && !ws_is(line, name, "transfer-encoding");
}

/* Judges what has come of an answer. `*size` is that of its head, once it is granted, and `*chose` is 1 if it names one of
 * the subprotocols that were offered (a list with commas). */
static inline ws_verdict ws_judge(
    const uint8_t *p, size_t n, const char *accept, const char *offered, size_t offers, size_t *size, int *chose) {
    static const char beginning[] = "HTTP/1.1 101";
    enum { BEGINNING = sizeof beginning - 1 };
    ws_grants grants = {0};
    if (memcmp(p, beginning, n < BEGINNING ? n : BEGINNING)) return WS_HEAD_ODD;
    for (size_t at = 0;;) {
        const uint8_t *end = n > at ? memchr(p + at, '\n', n - at) : NULL;
        if (!end) return n > WS_LARGEST_PLAIN_HEAD ? WS_HEAD_ODD : WS_HEAD_CUT;
        size_t length = (size_t)(end - p) - at;
        if (!length || end[-1] != '\r') return WS_HEAD_ODD;
        length--;
        if (!at) {
            if (length < BEGINNING || (length > BEGINNING && p[BEGINNING] != ' ')) return WS_HEAD_ODD;
            for (size_t i = BEGINNING; i < length; i++)
                if (p[i] < ' ' || p[i] > '~') return WS_HEAD_ODD;
        } else if (!length) {
            *size = at + 2;
            *chose = grants.protocols;
            return grants.upgrades && grants.accepts && grants.connections ? WS_HEAD_GRANTED : WS_HEAD_ODD;
        } else if (!ws_header(&grants, p + at, length, accept, offered, offers)) {
            return WS_HEAD_ODD;
        }
        at += length + 2;
    }
}

/* --- Dials ---------------------------------------------------------------------------------------------------------- */

typedef enum {
    WS_CONNECTING,
    WS_ASKING,  /* the request leaves, and its answer comes */
    WS_OPEN,    /* the end, as are those that follow: granted; `answer` is what came behind the head */
    WS_ODD,     /* the answer, or its end, is Python's to judge */
    WS_FAILED,  /* no TCP connection */
} ws_dial_state;

enum { WS_ENDED = -1 }; /* in place of an errno: the stream has ended */

typedef struct {
    int fd; /* -1: the slot is free */
    ws_dial_state state;
    int error, chose;
    int64_t connected, asked, done, patience, deadline; /* is late if not connected, or not open, by then */
    /* The request, whose last bytes are a key, an empty line and its end; and the subprotocols that it offers. Both are
     * the caller's. */
    const uint8_t *request;
    const char *offered;
    size_t request_size, offered_size, sent;
    char key[WS_KEY];
    char accept[WS_ACCEPT];
    uint8_t *answer;
    size_t answer_size;
} ws_dial;

/* Opens a socket for a dial, from an address if `from_size` is not 0, and begins to connect it. Returns 0 or an errno. */
static inline int ws_dial_connect(ws_dial *d, const void *to, socklen_t to_size, const void *from, socklen_t from_size) {
    int on = 1;
    d->fd = socket(((const struct sockaddr *)to)->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fd < 0) return errno;
    if (!setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)
        /* The port is chosen when the target is known, so that one port serves several targets. */
        && (!from_size || (!setsockopt(d->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) && !bind(d->fd, from, from_size)))
        && (!connect(d->fd, to, to_size) || errno == EINPROGRESS))
        return 0;
    int error = errno;
    close(d->fd);
    d->fd = -1;
    return error;
}

/* Keeps bytes of the answer behind those that are kept. */
static inline void ws_dial_keep(ws_dial *d, const uint8_t *data, size_t size) {
    uint8_t *grown = realloc(d->answer, d->answer_size + size + 1);
    if (!grown) return;
    memcpy(grown + d->answer_size, data, size);
    d->answer = grown;
    d->answer_size += size;
}

/* Sends what is left of the request. `scratch` has room for it. */
static inline void ws_dial_ask(ws_dial *d, uint8_t *scratch) {
    memcpy(scratch, d->request, d->request_size);
    memcpy(scratch + d->request_size - 4 - WS_KEY, d->key, WS_KEY);
    ssize_t took = ws_send(d->fd, scratch + d->sent, d->request_size - d->sent);
    if (took >= 0) d->sent += (size_t)took;
    else if (errno != EAGAIN && errno != EINTR) d->state = WS_ODD, d->error = errno;
}

/* Takes bytes of the answer. */
static inline void ws_dial_take(ws_dial *d, const uint8_t *data, size_t size) {
    size_t head = 0;
    int is_first = !d->answer;
    if (!is_first) {
        ws_dial_keep(d, data, size);
        data = d->answer, size = d->answer_size;
    }
    ws_verdict verdict = ws_judge(data, size, d->accept, d->offered, d->offered_size, &head, &d->chose);
    if (verdict == WS_HEAD_GRANTED) {
        d->state = WS_OPEN;
        if (!is_first) {
            memmove(d->answer, d->answer + head, size - head);
            d->answer_size = size - head;
        } else if (size > head) {
            ws_dial_keep(d, data + head, size - head);
        }
        return;
    }
    if (is_first) ws_dial_keep(d, data, size);
    if (verdict == WS_HEAD_ODD) d->state = WS_ODD;
}

/* Reads what there is of the answer. */
static inline void ws_dial_read(ws_dial *d, ws_backend *b, int ends) {
    uint8_t *data;
    int64_t stamp;
    while (d->state == WS_ASKING) {
        ssize_t got = ws_receive(b, d->fd, 0, &data, &stamp);
        d->done = ws_now_ns();
        if (got < 0 && errno == EINTR) continue;
        if (got > 0) {
            ws_dial_take(d, data, (size_t)got);
            if (got < WS_BUFFER && !ends) return;
        } else {
            if (got < 0 && errno == EAGAIN) return;
            d->state = WS_ODD;
            d->error = got ? errno : WS_ENDED;
        }
    }
}

/* Goes on with a dial whose socket is ready. `scratch` has room for the request. */
static inline void ws_dial_ready(ws_dial *d, ws_backend *b, const ws_ready *ready, uint8_t *scratch) {
    int ends = ws_ready_ends(ready);
    if (d->state == WS_CONNECTING) {
        socklen_t size = sizeof d->error;
        if (ends && !getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &d->error, &size) && d->error) {
            d->state = WS_FAILED;
            return;
        }
        if (!ws_ready_to_write(ready)) return;
        d->connected = d->asked = ws_now_ns();
        d->state = WS_ASKING;
        ws_accept_of(d->accept, d->key);
        ws_dial_ask(d, scratch);
    } else if (ws_ready_to_write(ready) && d->sent < d->request_size) {
        ws_dial_ask(d, scratch);
    }
    if (ws_ready_to_read(ready) || ends) ws_dial_read(d, b, ends);
}

/* Frees what a dial holds, and its slot; the socket is the caller's. */
static inline void ws_dial_free(ws_dial *d) {
    free(d->answer);
    d->answer = NULL;
    d->answer_size = 0;
    d->fd = -1;
}

#endif
