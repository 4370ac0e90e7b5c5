/* Messages in flight by their ids, and what became of those that are not in flight any more.
 *
 * Plain C without Python, fuzzed by tests/native/fuzz_talk.c. The meaning is that of `InFlightTable` and `RecentIds` in
 * engine/conversations/in_flight.py. One table serves all sessions of a loop: an id is looked up by its hash, which has
 * the number of its connection in it, and the messages of a session are a list, oldest first. Messages of a session with
 * the same id are a queue, whose first one is in the table; so every message that is taken out is the first of its queue.
 */
#ifndef WS_LOAD_TEST_IDS_H
#define WS_LOAD_TEST_IDS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WS_NO_ID UINT32_MAX /* size of an id that is none: nothing answers such a message */

enum {
    WS_NOTHING = 0,           /* no message: messages are numbered from 1 */
    WS_NEAR_ID = 24,          /* bytes of an id that need no memory of their own */
    WS_FIRST_AWAITED = 256,   /* messages in flight for which there is room at first */
    WS_RECENT_IDS = 1 << 16,  /* ids that are known to have been answered or given up, as in the portable engine */
};
enum { WS_UNKNOWN = 0, WS_DUPLICATE = 1, WS_LATE = 2 };

/* Mixes two numbers (the product of both halves, as in D. Lemire, "Strongly universal string hashing is fast"). */
static inline uint64_t ws_mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Returns the hash of an id of a connection. */
static inline uint64_t ws_id_hash(const uint8_t *id, size_t size, uint64_t connection) {
    uint64_t hash = ws_mix(connection ^ 0x9E3779B97F4A7C15u, size ^ 0xD6E8FEB86659FD93u), word;
    for (; size >= 8; size -= 8, id += 8) {
        memcpy(&word, id, 8);
        hash = ws_mix(hash ^ word, 0xA0761D6478BD642Fu ^ hash << 1);
    }
    word = 0;
    if (size) memcpy(&word, id, size);
    return ws_mix(hash ^ word, 0xE7037ED1A0B428DBu) ^ hash >> 32;
}

/* --- An index: which entry of an array has a hash ---------------------------------------------------------------------- */

/* A place has the number of an entry and, above it, the lower half of its hash: so that entries, which are not in the
 * cache, are looked at only if they are likely to be the right ones. A power of 2 of places, at most half of them in use. */
typedef struct {
    uint64_t *places; /* 0: empty; entries are numbered from 1 */
    uint32_t mask;
    uint32_t filled;
} ws_index;

static inline uint64_t ws_index_place(uint64_t hash, uint32_t number) { return hash << 32 | number; }

/* Puts an entry where there is none yet with its hash, or with another one's. */
static inline void ws_index_put(ws_index *x, uint64_t hash, uint32_t number) {
    uint32_t at = (uint32_t)hash & x->mask;
    while (x->places[at]) at = (at + 1) & x->mask;
    x->places[at] = ws_index_place(hash, number);
    x->filled++;
}

/* Returns where an entry is that is there. */
static inline uint32_t ws_index_of(const ws_index *x, uint64_t hash, uint32_t number) {
    uint32_t at = (uint32_t)hash & x->mask;
    while (x->places[at] != ws_index_place(hash, number)) at = (at + 1) & x->mask;
    return at;
}

/* Takes out an entry, and moves those behind it that would not be found any more. */
static inline void ws_index_take(ws_index *x, uint64_t hash, uint32_t number) {
    uint32_t hole = ws_index_of(x, hash, number);
    for (uint32_t next = (hole + 1) & x->mask; x->places[next]; next = (next + 1) & x->mask) {
        uint32_t home = (uint32_t)(x->places[next] >> 32) & x->mask;
        if (((next - home) & x->mask) >= ((next - hole) & x->mask)) {
            x->places[hole] = x->places[next];
            hole = next;
        }
    }
    x->places[hole] = 0;
    x->filled--;
}

/* Makes room for another entry. Returns 0 if there is no memory. */
static inline int ws_index_grow(ws_index *x, uint32_t first) {
    if (x->places && 2 * x->filled <= x->mask) return 1;
    ws_index grown = {NULL, x->places ? 2 * x->mask + 1 : 2 * first - 1, 0};
    grown.places = calloc((size_t)grown.mask + 1, sizeof *grown.places);
    if (!grown.places) return 0;
    for (uint32_t i = 0; x->places && i <= x->mask; i++)
        if (x->places[i]) ws_index_put(&grown, x->places[i] >> 32, (uint32_t)x->places[i]);
    free(x->places);
    *x = grown;
    return 1;
}

/* --- Messages in flight ------------------------------------------------------------------------------------------------ */

typedef struct {
    int64_t due, sent;
    uint64_t number;  /* of the message on its session, by which a reply out of order is noticed */
    uint64_t hash;
    uint32_t session;
    uint32_t older, newer;            /* on its session */
    uint32_t next_same, last_same;    /* with the same id; the last one is known to the first */
    uint32_t size;
    union { uint8_t near[WS_NEAR_ID]; uint8_t *far; } id;
} ws_awaited;

/* The messages in flight of one session. */
typedef struct {
    uint32_t oldest, newest;
    uint64_t sent;            /* number of the next message */
    int64_t latest_answered;  /* number of the latest message that was answered; -1: none */
} ws_session_ids;

typedef struct {
    ws_awaited *all;
    ws_index firsts;  /* the first message of each queue */
    uint32_t used, capacity, free;
} ws_awaiting;

static inline void ws_session_ids_init(ws_session_ids *s) {
    memset(s, 0, sizeof *s);
    s->latest_answered = -1;
}

static inline void ws_awaiting_free(ws_awaiting *t) {
    for (uint32_t i = 1; i < t->used; i++)
        if (t->all[i].session != UINT32_MAX && t->all[i].size != WS_NO_ID && t->all[i].size > WS_NEAR_ID) free(t->all[i].id.far);
    free(t->all);
    free(t->firsts.places);
    memset(t, 0, sizeof *t);
}

static inline const uint8_t *ws_awaited_id(const ws_awaited *f) { return f->size > WS_NEAR_ID ? f->id.far : f->id.near; }

/* Returns the number of the oldest message of a session with an id; WS_NOTHING if none in flight has it. */
static inline uint32_t ws_awaiting_first(
    const ws_awaiting *t, uint32_t session, const uint8_t *id, uint32_t size, uint64_t hash) {
    if (!t->firsts.places) return WS_NOTHING;
    for (uint32_t at = (uint32_t)hash & t->firsts.mask; t->firsts.places[at]; at = (at + 1) & t->firsts.mask) {
        if (t->firsts.places[at] >> 32 != (uint32_t)hash) continue;
        const ws_awaited *f = &t->all[(uint32_t)t->firsts.places[at]];
        if (f->hash == hash && f->session == session && f->size == size && !memcmp(ws_awaited_id(f), id, size))
            return (uint32_t)t->firsts.places[at];
    }
    return WS_NOTHING;
}

/* Makes room for another message. Returns 0 if there is no memory. */
static inline int ws_awaiting_grow(ws_awaiting *t) {
    if (!t->free && t->used == t->capacity) {
        uint32_t capacity = t->capacity ? 2 * t->capacity : WS_FIRST_AWAITED;
        ws_awaited *all = realloc(t->all, capacity * sizeof *all);
        if (!all) return 0;
        t->all = all;
        t->capacity = capacity;
        t->used += !t->used;
    }
    return ws_index_grow(&t->firsts, WS_FIRST_AWAITED);
}

/* Notes a message as in flight. Returns 0 if there is no memory. */
static inline int ws_awaiting_add(
    ws_awaiting *t, ws_session_ids *s, uint32_t session, const uint8_t *id, uint32_t size, uint64_t hash, int64_t due,
    int64_t sent) {
    if (!ws_awaiting_grow(t)) return 0;
    uint32_t number = t->free ? t->free : t->used;
    ws_awaited *f = &t->all[number];
    uint32_t free_next = t->free ? f->newer : WS_NOTHING;
    if (size != WS_NO_ID && size > WS_NEAR_ID) {
        if (!(f->id.far = malloc(size))) return 0;
        memcpy(f->id.far, id, size);
    } else if (size != WS_NO_ID && size) memcpy(f->id.near, id, size);
    if (t->free) t->free = free_next;
    else t->used++;
    f->due = due, f->sent = sent, f->number = s->sent++, f->hash = hash, f->session = session, f->size = size;
    f->older = s->newest, f->newer = WS_NOTHING, f->next_same = WS_NOTHING, f->last_same = number;
    if (s->newest) t->all[s->newest].newer = number;
    else s->oldest = number;
    s->newest = number;
    if (size == WS_NO_ID) return 1;
    uint32_t first = ws_awaiting_first(t, session, id, size, hash);
    if (first) {
        t->all[t->all[first].last_same].next_same = number;
        t->all[first].last_same = number;
    } else ws_index_put(&t->firsts, hash, number);
    return 1;
}

/* Returns the oldest message of a session with an id; NULL if none in flight has it. */
static inline ws_awaited *ws_awaiting_find(
    const ws_awaiting *t, uint32_t session, const uint8_t *id, uint32_t size, uint64_t hash) {
    uint32_t first = ws_awaiting_first(t, session, id, size, hash);
    return first ? &t->all[first] : NULL;
}

/* Takes out a message that is the oldest with its id. */
static inline void ws_awaiting_remove(ws_awaiting *t, ws_session_ids *s, ws_awaited *f) {
    uint32_t number = (uint32_t)(f - t->all);
    if (f->size != WS_NO_ID) {
        if (f->next_same) {
            t->firsts.places[ws_index_of(&t->firsts, f->hash, number)] = ws_index_place(f->hash, f->next_same);
            t->all[f->next_same].last_same = f->last_same;
        } else ws_index_take(&t->firsts, f->hash, number);
        if (f->size > WS_NEAR_ID) free(f->id.far);
    }
    if (f->older) t->all[f->older].newer = f->newer;
    else s->oldest = f->newer;
    if (f->newer) t->all[f->newer].older = f->older;
    else s->newest = f->older;
    f->session = UINT32_MAX;
    f->newer = t->free;
    t->free = number;
}

/* --- The fates of ids ------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t hash; /* stands for the id: two of 65,536 are alike once in 10^9 runs */
    uint32_t older, newer, fate;
} ws_fate;

/* Until another reply has come, which most targets never send, fates are only written down, one behind the other: that
 * costs 1 ns a message, where finding them at once costs 80 (two misses of the second-level cache). From then on they are
 * found by their hash; the first time takes as long as 65,536 messages, 3 ms, once in a run. */
typedef struct {
    uint64_t *log; /* hashes, the lowest bit of which says if the message was given up */
    uint64_t logged;
    ws_fate *all;
    ws_index index;
    uint32_t used, oldest, newest;
} ws_fates;

static inline void ws_fates_free(ws_fates *t) {
    free(t->log);
    free(t->all);
    free(t->index.places);
    memset(t, 0, sizeof *t);
}

/* Returns the number of an id's fate; WS_NOTHING if it is not known. */
static inline uint32_t ws_fate_of(const ws_fates *t, uint64_t hash) {
    if (!t->all) return WS_NOTHING;
    for (uint32_t at = (uint32_t)hash & t->index.mask; t->index.places[at]; at = (at + 1) & t->index.mask)
        if (t->index.places[at] >> 32 == (uint32_t)hash && t->all[(uint32_t)t->index.places[at]].hash == hash)
            return (uint32_t)t->index.places[at];
    return WS_NOTHING;
}

static inline void ws_fate_unlink(ws_fates *t, ws_fate *f) {
    if (f->older) t->all[f->older].newer = f->newer;
    else t->oldest = f->newer;
    if (f->newer) t->all[f->newer].older = f->older;
    else t->newest = f->older;
}

/* Puts a fate where it is found by its hash. */
static inline void ws_fates_put(ws_fates *t, uint64_t hash, uint32_t fate) {
    uint32_t number = ws_fate_of(t, hash);
    if (number) ws_fate_unlink(t, &t->all[number]);
    else {
        if (t->used < WS_RECENT_IDS) number = ++t->used;
        else {
            /* The oldest is forgotten. */
            number = t->oldest;
            ws_index_take(&t->index, t->all[number].hash, number);
            ws_fate_unlink(t, &t->all[number]);
        }
        ws_index_put(&t->index, hash, number);
    }
    ws_fate *f = &t->all[number];
    f->hash = hash, f->fate = fate, f->older = t->newest, f->newer = WS_NOTHING;
    if (t->newest) t->all[t->newest].newer = number;
    else t->oldest = number;
    t->newest = number;
}

/* Remembers that a message was answered (WS_DUPLICATE would be another reply to it) or given up (WS_LATE). */
static inline void ws_fates_note(ws_fates *t, uint64_t hash, uint32_t fate) {
    if (t->all) {
        ws_fates_put(t, hash & ~(uint64_t)1, fate);
        return;
    }
    /* Pages that are not used yet take no memory. */
    if (!t->log && !(t->log = calloc(WS_RECENT_IDS, sizeof *t->log))) return;
    t->log[t->logged++ % WS_RECENT_IDS] = (hash & ~(uint64_t)1) | (fate == WS_LATE);
}

/* Finds fates by their hash from now on. */
static __attribute__((noinline)) void ws_fates_sort(ws_fates *t) {
    if (!(t->all = calloc(WS_RECENT_IDS + 1, sizeof *t->all))) return;
    if (!ws_index_grow(&t->index, WS_RECENT_IDS)) {
        free(t->all);
        t->all = NULL;
        return;
    }
    for (uint64_t i = t->logged < WS_RECENT_IDS ? 0 : t->logged - WS_RECENT_IDS; i < t->logged; i++) {
        uint64_t hash = t->log[i % WS_RECENT_IDS];
        ws_fates_put(t, hash & ~(uint64_t)1, hash & 1 ? WS_LATE : WS_DUPLICATE);
    }
    free(t->log);
    t->log = NULL;
}

/* Returns the kind of another reply to a message: the first one to a message that was given up is late, the next not. */
static inline uint32_t ws_fates_classify(ws_fates *t, uint64_t hash) {
    if (!t->all && t->log) ws_fates_sort(t);
    uint32_t number = ws_fate_of(t, hash & ~(uint64_t)1);
    if (!number) return WS_UNKNOWN;
    uint32_t fate = t->all[number].fate;
    t->all[number].fate = WS_DUPLICATE;
    return fate;
}

/* Returns 1 if a message with an id was answered or given up, and is not forgotten. */
static inline int ws_fates_know(ws_fates *t, uint64_t hash) {
    if (!t->all && t->log) ws_fates_sort(t);
    return ws_fate_of(t, hash & ~(uint64_t)1) != WS_NOTHING;
}

#endif
