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
    uint32_t *places; /* the first message of each queue, by its hash; a power of 2 of them, at most half in use */
    uint32_t used, capacity, free, filled, mask;
} ws_awaiting;

static inline void ws_session_ids_init(ws_session_ids *s) {
    memset(s, 0, sizeof *s);
    s->latest_answered = -1;
}

static inline void ws_awaiting_free(ws_awaiting *t) {
    for (uint32_t i = 1; i < t->used; i++)
        if (t->all[i].session != UINT32_MAX && t->all[i].size != WS_NO_ID && t->all[i].size > WS_NEAR_ID) free(t->all[i].id.far);
    free(t->all);
    free(t->places);
    memset(t, 0, sizeof *t);
}

static inline const uint8_t *ws_awaited_id(const ws_awaited *f) { return f->size > WS_NEAR_ID ? f->id.far : f->id.near; }

/* Returns the place of the first message with an id, or the empty place where it would be. */
static inline uint32_t ws_place_of(const ws_awaiting *t, uint32_t session, const uint8_t *id, uint32_t size, uint64_t hash) {
    uint32_t place = (uint32_t)hash & t->mask, i;
    for (; (i = t->places[place]); place = (place + 1) & t->mask) {
        const ws_awaited *f = &t->all[i];
        if (f->hash == hash && f->session == session && f->size == size && !memcmp(ws_awaited_id(f), id, size)) break;
    }
    return place;
}

/* Empties a place, and moves those behind it that would not be found any more. */
static inline void ws_empty_place(ws_awaiting *t, uint32_t place) {
    for (uint32_t next = (place + 1) & t->mask; t->places[next]; next = (next + 1) & t->mask) {
        uint32_t home = (uint32_t)t->all[t->places[next]].hash & t->mask;
        if (((next - home) & t->mask) >= ((next - place) & t->mask)) {
            t->places[place] = t->places[next];
            place = next;
        }
    }
    t->places[place] = WS_NOTHING;
    t->filled--;
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
    if (!t->places || 2 * t->filled > t->mask) {
        uint32_t mask = t->places ? 2 * t->mask + 1 : 2 * WS_FIRST_AWAITED - 1;
        uint32_t *places = calloc((size_t)mask + 1, sizeof *places);
        if (!places) return 0;
        for (uint32_t i = 0; t->places && i <= t->mask; i++) {
            if (!t->places[i]) continue;
            uint32_t place = (uint32_t)t->all[t->places[i]].hash & mask;
            while (places[place]) place = (place + 1) & mask;
            places[place] = t->places[i];
        }
        free(t->places);
        t->places = places;
        t->mask = mask;
    }
    return 1;
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
    uint32_t place = ws_place_of(t, session, id, size, hash), first = t->places[place];
    if (first) {
        t->all[t->all[first].last_same].next_same = number;
        t->all[first].last_same = number;
    } else {
        t->places[place] = number;
        t->filled++;
    }
    return 1;
}

/* Returns the oldest message of a session with an id; NULL if none in flight has it. */
static inline ws_awaited *ws_awaiting_find(
    const ws_awaiting *t, uint32_t session, const uint8_t *id, uint32_t size, uint64_t hash) {
    uint32_t first = t->places ? t->places[ws_place_of(t, session, id, size, hash)] : WS_NOTHING;
    return first ? &t->all[first] : NULL;
}

/* Takes out a message that is the oldest with its id. */
static inline void ws_awaiting_remove(ws_awaiting *t, ws_session_ids *s, ws_awaited *f) {
    uint32_t number = (uint32_t)(f - t->all);
    if (f->size != WS_NO_ID) {
        uint32_t place = (uint32_t)f->hash & t->mask;
        while (t->places[place] != number) place = (place + 1) & t->mask;
        if (f->next_same) {
            t->places[place] = f->next_same;
            t->all[f->next_same].last_same = f->last_same;
        } else ws_empty_place(t, place);
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
    uint64_t hash; /* stands for the id: two of 65,536 ids are alike once in 10^9 runs */
    uint32_t older, newer, fate;
} ws_fate;

typedef struct {
    ws_fate *all;
    uint32_t *places;
    uint32_t used, oldest, newest;
} ws_fates;

enum { WS_FATE_MASK = 2 * WS_RECENT_IDS - 1 };

static inline void ws_fates_free(ws_fates *t) {
    free(t->all);
    free(t->places);
    memset(t, 0, sizeof *t);
}

static inline uint32_t ws_fate_place(const ws_fates *t, uint64_t hash) {
    uint32_t place = (uint32_t)hash & WS_FATE_MASK;
    while (t->places[place] && t->all[t->places[place]].hash != hash) place = (place + 1) & WS_FATE_MASK;
    return place;
}

static inline void ws_fate_unlink(ws_fates *t, ws_fate *f) {
    if (f->older) t->all[f->older].newer = f->newer;
    else t->oldest = f->newer;
    if (f->newer) t->all[f->newer].older = f->older;
    else t->newest = f->older;
}

/* Remembers that a message was answered (WS_DUPLICATE would be another reply to it) or given up (WS_LATE). */
static inline void ws_fates_note(ws_fates *t, uint64_t hash, uint32_t fate) {
    if (!t->all) {
        /* Pages that are not used yet take no memory. */
        t->all = calloc(WS_RECENT_IDS + 1, sizeof *t->all);
        t->places = calloc(WS_FATE_MASK + 1, sizeof *t->places);
        if (!t->all || !t->places) {
            ws_fates_free(t);
            return;
        }
    }
    uint32_t place = ws_fate_place(t, hash), number = t->places[place];
    if (number) ws_fate_unlink(t, &t->all[number]);
    else if (t->used < WS_RECENT_IDS) number = t->places[place] = ++t->used;
    else {
        /* The oldest is forgotten. */
        number = t->oldest;
        uint32_t hole = ws_fate_place(t, t->all[number].hash);
        ws_fate_unlink(t, &t->all[number]);
        for (uint32_t next = (hole + 1) & WS_FATE_MASK; t->places[next]; next = (next + 1) & WS_FATE_MASK) {
            uint32_t home = (uint32_t)t->all[t->places[next]].hash & WS_FATE_MASK;
            if (((next - home) & WS_FATE_MASK) >= ((next - hole) & WS_FATE_MASK)) {
                t->places[hole] = t->places[next];
                hole = next;
            }
        }
        t->places[hole] = WS_NOTHING;
        t->places[ws_fate_place(t, hash)] = number;
    }
    ws_fate *f = &t->all[number];
    f->hash = hash, f->fate = fate, f->older = t->newest, f->newer = WS_NOTHING;
    if (t->newest) t->all[t->newest].newer = number;
    else t->oldest = number;
    t->newest = number;
}

/* Returns the kind of another reply to a message: the first one to a message that was given up is late, the next not. */
static inline uint32_t ws_fates_classify(ws_fates *t, uint64_t hash) {
    ws_fate *f = t->all ? &t->all[t->places[ws_fate_place(t, hash)]] : NULL;
    if (!f || f == t->all) return WS_UNKNOWN;
    uint32_t fate = f->fate;
    f->fate = WS_DUPLICATE;
    return fate;
}

/* Returns 1 if a message with an id was answered or given up, and is not forgotten. */
static inline int ws_fates_know(const ws_fates *t, uint64_t hash) {
    return t->all && t->places[ws_fate_place(t, hash)] != WS_NOTHING;
}

#endif
