/* Finds a value in JSON at a path of names and places, with the meaning of `json_extractor` in plan/correlation.py.
 *
 * Plain C without Python, fuzzed by tests/native/fuzz_talk.c. The message is read to its end, as msgspec reads it: what is
 * no JSON has no value, and of a name that occurs twice the last counts. Values whose text would have to be written anew
 * (a number with a fraction, an object, an array), and whatever is seldom enough (a name on the path that occurs twice,
 * half of a surrogate pair, deep nesting), are left to Python: the answer is then WS_ASK. So the two never differ.
 */
#ifndef WS_LOAD_TEST_SCAN_H
#define WS_LOAD_TEST_SCAN_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WS_NONE = 0, WS_FOUND = 1, WS_ASK = 2 };
enum {
    WS_DEEPEST = 64,        /* levels of nesting above which Python is asked: it takes some thousand */
    WS_LONGEST_INT = 18,    /* digits of a number whose text is surely what msgspec writes */
    WS_UNESCAPED = 256,     /* bytes of a value with escapes; ids are shorter, and for longer ones Python is asked */
};

/* One step of a path. */
typedef struct {
    const uint8_t *name; /* NULL: a place in an array */
    size_t size;
    uint64_t place;
} ws_step;

typedef struct {
    ws_step *steps;
    unsigned count;
    unsigned names; /* steps before the first place: what is beside them is skipped, and must only be JSON */
} ws_path;

typedef struct {
    const uint8_t *text; /* in the message, or in `unescaped` */
    size_t size;
    uint8_t unescaped[WS_UNESCAPED];
} ws_value;

typedef struct {
    const uint8_t *p, *end;
    const ws_path *path;
    ws_value *value;
    int found;
    int answer; /* once the scan has broken off */
    int all;    /* everything counts here, as Python decodes it: texts must be UTF-8, numbers in range */
} ws_scan;

static inline int ws_json_stop(ws_scan *s, int answer) {
    s->answer = answer;
    return 0;
}

static inline void ws_json_blanks(ws_scan *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t')) s->p++;
}

static inline int ws_is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* Returns the value of four hexadecimal digits, -1 if they are none. */
static inline int32_t ws_json_hex(const uint8_t *p) {
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i] | 0x20;
        if (!ws_is_digit(p[i]) && (c < 'a' || c > 'f')) return -1;
        value = value << 4 | (ws_is_digit(p[i]) ? p[i] - '0' : c - 'a' + 10);
    }
    return value;
}

/* Returns 1 if bytes are UTF-8 (RFC 3629, section 4). */
static inline int ws_is_utf8(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n;) {
        uint8_t c = p[i++];
        if (c < 0x80) continue;
        int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
        if (c < 0xC2 || c > 0xF4 || n - i < (size_t)more) return 0;
        uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80, high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
        for (; more; more--, i++, low = 0x80, high = 0xBF)
            if (p[i] < low || p[i] > high) return 0;
    }
    return 1;
}

/* Checks an escape, at its backslash. Returns its length, 0 if the scan has broken off. */
static inline int ws_json_escape(ws_scan *s) {
    size_t left = (size_t)(s->end - s->p);
    if (left < 2) return ws_json_stop(s, WS_NONE);
    if (s->p[1] != 'u') return s->p[1] && strchr("\"\\/bfnrt", s->p[1]) ? 2 : ws_json_stop(s, WS_NONE);
    int32_t unit = left < 6 ? -1 : ws_json_hex(s->p + 2);
    if (unit < 0) return ws_json_stop(s, WS_NONE);
    if (unit < 0xD800 || unit > 0xDFFF) return 6;
    if (unit > 0xDBFF || left < 12 || s->p[6] != '\\' || s->p[7] != 'u') return ws_json_stop(s, WS_ASK);
    unit = ws_json_hex(s->p + 8);
    return unit >= 0xDC00 && unit <= 0xDFFF ? 12 : ws_json_stop(s, WS_ASK);
}

/* Reads a text behind its first quotation mark. Returns 1, or 0 if the scan has broken off; where it lies, if it has
 * escapes, and if it has bytes that are not ASCII. */
static inline int ws_json_text(ws_scan *s, const uint8_t **text, size_t *size, int *escaped, int *high) {
    const uint8_t *from = s->p;
    uint64_t seen = 0;
    *escaped = 0;
    for (;;) {
        /* Eight bytes at once, as long as none of them is a control character, a quotation mark or a backslash. */
        while (s->end - s->p >= 8) {
            const uint64_t ones = 0x0101010101010101u, tops = ones << 7;
            uint64_t w, quote, slash;
            memcpy(&w, s->p, 8);
            quote = w ^ ones * '"';
            slash = w ^ ones * '\\';
            if ((((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & tops) break;
            seen |= w;
            s->p += 8;
        }
        if (s->p == s->end || *s->p < 0x20) return ws_json_stop(s, WS_NONE);
        uint8_t c = *s->p;
        if (c == '"') break;
        if (c == '\\') {
            int length = ws_json_escape(s);
            if (!length) return 0;
            *escaped = 1;
            s->p += length;
        } else {
            seen |= c;
            s->p++;
        }
    }
    *text = from;
    *size = (size_t)(s->p++ - from);
    *high = (seen & 0x8080808080808080u) != 0;
    if (s->all && *high && !ws_is_utf8(from, *size)) return ws_json_stop(s, WS_ASK);
    return 1;
}

/* Writes a text without its escapes, which have been checked. Returns its size, -1 if there is no room. */
static inline int ws_json_unescape(const uint8_t *p, size_t n, uint8_t *out, size_t room) {
    size_t size = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c = p[i++];
        uint8_t bytes[4];
        int count = 1;
        if (c == '\\') {
            c = p[i++];
            if (c == 'u') {
                c = (uint32_t)ws_json_hex(p + i);
                i += 4;
                if (c >= 0xD800 && c <= 0xDFFF) {
                    c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)ws_json_hex(p + i + 2) - 0xDC00);
                    i += 6;
                }
                if (c >= 0x80) {
                    count = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
                    for (int k = count - 1; k; k--, c >>= 6) bytes[k] = (uint8_t)(0x80 | (c & 0x3F));
                    c |= count == 2 ? 0xC0 : count == 3 ? 0xE0 : 0xF0;
                }
            } else {
                c = c == 'b' ? '\b' : c == 'f' ? '\f' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
            }
        }
        bytes[0] = (uint8_t)c;
        if (room - size < (size_t)count) return -1;
        memcpy(out + size, bytes, (size_t)count);
        size += (size_t)count;
    }
    return (int)size;
}

/* Reads a number. Returns 1, or 0 if the scan has broken off; if it is whole. */
static inline int ws_json_number(ws_scan *s, int *whole) {
    const uint8_t *p = s->p, *end = s->end;
    p += *p == '-';
    if (p == end || !ws_is_digit(*p)) return ws_json_stop(s, WS_NONE);
    if (*p == '0') p++;
    else while (p < end && ws_is_digit(*p)) p++;
    *whole = 1;
    if (p < end && *p == '.') {
        *whole = 0;
        if (++p == end || !ws_is_digit(*p)) return ws_json_stop(s, WS_NONE);
        while (p < end && ws_is_digit(*p)) p++;
    }
    if (p < end && (*p | 0x20) == 'e') {
        *whole = 0;
        if (s->all) return ws_json_stop(s, WS_ASK);
        p++;
        p += p < end && (*p == '+' || *p == '-');
        if (p == end || !ws_is_digit(*p)) return ws_json_stop(s, WS_NONE);
        while (p < end && ws_is_digit(*p)) p++;
    }
    if (s->all && p - s->p > WS_LONGEST_INT) return ws_json_stop(s, WS_ASK);
    s->p = p;
    return 1;
}

static inline int ws_json_word(ws_scan *s, const char *word) {
    size_t size = strlen(word);
    if ((size_t)(s->end - s->p) < size || memcmp(s->p, word, size)) return ws_json_stop(s, WS_NONE);
    s->p += size;
    return 1;
}

static int ws_json_value(ws_scan *s, unsigned step, int depth);

/* Reads an object or an array, in which the path goes on at `step`; from `count` on nothing in it is looked for. */
static int ws_json_container(ws_scan *s, unsigned step, int depth) {
    const ws_step *wanted = step < s->path->count ? &s->path->steps[step] : NULL;
    int is_object = *s->p++ == '{', seen = 0;
    uint8_t last = is_object ? '}' : ']';
    if (depth == WS_DEEPEST) return ws_json_stop(s, WS_ASK);
    ws_json_blanks(s);
    if (s->p < s->end && *s->p == last) return s->p++, 1;
    for (uint64_t place = 0;; place++) {
        int here = wanted && !is_object && !wanted->name && wanted->place == place;
        if (is_object) {
            const uint8_t *name;
            size_t size;
            int escaped, high;
            if (s->p == s->end || *s->p++ != '"') return ws_json_stop(s, WS_NONE);
            if (!ws_json_text(s, &name, &size, &escaped, &high)) return 0;
            if (wanted && wanted->name && size >= wanted->size) {
                uint8_t plain[WS_UNESCAPED];
                if (escaped && wanted->size > sizeof plain) return ws_json_stop(s, WS_ASK);
                if (escaped) {
                    int is = ws_json_unescape(name, size, plain, wanted->size);
                    here = is == (int)wanted->size && !memcmp(plain, wanted->name, wanted->size);
                } else here = size == wanted->size && !memcmp(name, wanted->name, size);
            }
            ws_json_blanks(s);
            if (s->p == s->end || *s->p++ != ':') return ws_json_stop(s, WS_NONE);
            ws_json_blanks(s);
            if (here && seen++) return ws_json_stop(s, WS_ASK);
        }
        if (!ws_json_value(s, here ? step + 1 : s->path->count + 1, depth + 1)) return 0;
        ws_json_blanks(s);
        if (s->p == s->end || (*s->p != ',' && *s->p != last)) return ws_json_stop(s, WS_NONE);
        if (*s->p++ == last) return 1;
        ws_json_blanks(s);
    }
}

/* Reads a value. At step `count` of the path it is the one that is looked for; behind that, nothing is. */
static int ws_json_value(ws_scan *s, unsigned step, int depth) {
    const ws_path *path = s->path;
    int is_wanted = step == path->count, whole, escaped, high;
    const uint8_t *from = s->p, *text;
    size_t size;
    if (s->p == s->end) return ws_json_stop(s, WS_NONE);
    if (*s->p == '{' || *s->p == '[') {
        if (is_wanted) return ws_json_stop(s, WS_ASK);
        /* Where the path has only names so far, Python wants an object there. */
        if (step < path->names && *s->p == '[') return ws_json_stop(s, WS_NONE);
        int all = s->all;
        s->all |= step == path->names && step < path->count;
        if (!ws_json_container(s, step, depth)) return 0;
        s->all = all;
        return 1;
    }
    if (step < path->names) return ws_json_stop(s, WS_NONE);
    if (*s->p == '"') {
        s->p++;
        if (!ws_json_text(s, &text, &size, &escaped, &high)) return 0;
        if (!is_wanted) return 1;
        if (high && !ws_is_utf8(text, size)) return ws_json_stop(s, WS_ASK);
        s->value->text = text;
        s->value->size = size;
        if (escaped) {
            int plain = ws_json_unescape(text, size, s->value->unescaped, WS_UNESCAPED);
            if (plain < 0) return ws_json_stop(s, WS_ASK);
            s->value->text = s->value->unescaped;
            s->value->size = (size_t)plain;
        }
        return s->found = 1;
    }
    if (*s->p == 'n') return ws_json_word(s, "null");
    if (*s->p == 't' || *s->p == 'f') {
        if (!ws_json_word(s, *s->p == 't' ? "true" : "false")) return 0;
    } else {
        if (!ws_json_number(s, &whole)) return 0;
        if (is_wanted && (!whole || s->p - from > WS_LONGEST_INT || (*from == '-' && from[1] == '0'))) return ws_json_stop(s, WS_ASK);
    }
    if (is_wanted) {
        s->value->text = from;
        s->value->size = (size_t)(s->p - from);
        s->found = 1;
    }
    return 1;
}

/* Looks for the value at a path: WS_FOUND, WS_NONE, or WS_ASK where only Python can say. */
static inline int ws_find(const ws_path *path, const uint8_t *data, size_t size, ws_value *value) {
    ws_scan s = {.p = data, .end = data + size, .path = path, .value = value};
    ws_json_blanks(&s);
    if (!ws_json_value(&s, 0, 0)) return s.answer;
    ws_json_blanks(&s);
    return s.p == s.end && s.found ? WS_FOUND : WS_NONE;
}

/* --- Checks of a message ---------------------------------------------------------------------------------------------- */

enum { WS_CONTAINS, WS_IN_JSON, WS_BY_PYTHON };

typedef struct {
    int kind;          /* the message contains `text`, has it at `path`, or Python says if it passes */
    int is_any;        /* at the path: any value but null will do */
    ws_path path;
    const uint8_t *text;
    size_t size;
} ws_check;

/* Returns 1 if a message satisfies a check, 0 if not, or WS_ASK. */
static inline int ws_satisfies(const ws_check *check, const uint8_t *data, size_t size) {
    ws_value value;
    if (check->kind == WS_BY_PYTHON) return WS_ASK;
    if (check->kind == WS_CONTAINS) return memmem(data, size, check->text, check->size) != NULL;
    int found = ws_find(&check->path, data, size, &value);
    if (found != WS_FOUND || check->is_any) return found;
    return value.size == check->size && !memcmp(value.text, check->text, value.size);
}

#endif
