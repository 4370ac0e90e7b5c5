/* Answers that are many messages, up to an end mark: which answer a message is a part of, and the times within it.
 *
 * Plain C without Python, fuzzed by tests/native/fuzz_talk.c. The rules are those of engine/conversations/streamed.py. Where
 * answers come in order, a session has one that has begun, and what is kept of it is found by the session's slot; by
 * ids, each message in flight has its own, found by its number in the table of messages in flight.
 */
#ifndef WS_LOAD_TEST_STREAMS_H
#define WS_LOAD_TEST_STREAMS_H

#include "talk.h"

#include "session.h"

enum { WS_PART = WS_GREETING + 1 }; /* a message that is counted already: part of an answer that goes on */
enum {
    WS_FIRST_TIME, WS_GAP, WS_ANSWER_MESSAGES, WS_ANSWER_BYTES, WS_MESSAGES_PER_KS, WS_BYTES_PER_KS, WS_ANSWER_COUNT,
    WS_COUNT_PER_KS, WS_STREAM_TIMES
};
enum { WS_LONGEST_COUNT = 15 }; /* digits of a number in an end mark for which Python need not be asked */

/* An answer of which a message has come, and the end mark has not. */
typedef struct {
    int64_t due, sent, last;
    uint64_t size;
    uint64_t messages;  /* 0: no answer has begun */
    uint32_t ended;     /* in order: answers that have ended in this read */
    uint32_t has_begun; /* the message that counts as the first has come */
} ws_answer;

typedef struct {
    uint64_t streamed, broken_off, stalls, came_together, without_first, without_count;
} ws_stream_counts;

typedef struct {
    int64_t stall;       /* longest gap that is no stall, in ns */
    int reads_count;     /* a number is read in the end mark */
    ws_path count;       /* its place in JSON; empty: Python finds it */
    ws_answer *answers;
    uint32_t capacity;
    ws_stream_counts counts;
    ws_histogram times[WS_STREAM_TIMES];
} ws_streams;

static inline void ws_streams_free(ws_streams *t) {
    ws_path_free(&t->count);
    free(t->answers);
    for (int i = 0; i < WS_STREAM_TIMES; i++) free(t->times[i].counts);
    memset(t, 0, sizeof *t);
}

/* Returns the answer with a number; NULL if there is no memory. */
static inline ws_answer *ws_answer_at(ws_streams *t, uint32_t number) {
    if (number >= t->capacity) {
        uint32_t capacity = 2 * number + 64;
        ws_answer *grown = realloc(t->answers, capacity * sizeof *grown);
        if (!grown) return NULL;
        memset(grown + t->capacity, 0, (capacity - t->capacity) * sizeof *grown);
        t->answers = grown;
        t->capacity = capacity;
    }
    return &t->answers[number];
}

/* Returns the answer with a number if it has begun, and takes it out; else one without a message. */
static inline ws_answer ws_take_answer(ws_streams *t, uint32_t number) {
    ws_answer none = {0}, answer;
    if (number >= t->capacity) return none;
    answer = t->answers[number];
    t->answers[number] = none;
    return answer;
}

static inline int ws_passes_any(const ws_rules *r, int what, unsigned count, const uint8_t *payload, size_t size) {
    for (unsigned i = 0; i < count; i++)
        if (ws_passes(r, what, i, payload, size)) return 1;
    return 0;
}

/* Finds the message of ours that a message is a part of the answer to. Returns NULL if none in flight is. */
static inline ws_answer *ws_find_answer(
    const ws_rules *r, ws_streams *t, const ws_session *s, uint32_t slot, const uint8_t *payload, size_t size, int *has_id,
    uint64_t *hash) {
    if (r->by <= WS_BY_ORDER) {
        ws_answer *a = ws_answer_at(t, slot);
        if (!a || a->messages) return a;
        uint32_t place = a->ended;
        for (uint32_t i = 0; i < s->ring_length; i++) {
            const ws_flight *flight = ws_flight_at(s, i);
            if (place < flight->count) {
                a->due = flight->due, a->sent = flight->sent;
                return a;
            }
            place -= flight->count;
        }
        return NULL;
    }
    ws_value id;
    *has_id = ws_id_of(r, 1, payload, size, &id) == WS_FOUND;
    if (!*has_id) return NULL;
    *hash = ws_id_hash(id.text, id.size, s->connection);
    uint32_t number = ws_awaiting_first(&r->awaiting, slot, id.text, (uint32_t)id.size, *hash);
    ws_answer *a = number ? ws_answer_at(t, number) : NULL;
    if (a && !a->messages) a->due = r->awaiting.all[number].due, a->sent = r->awaiting.all[number].sent;
    return a;
}

/* Returns an amount in 1,000 s of an answer that took so long. */
static inline int64_t ws_per_ks(uint64_t amount, int64_t took) {
    unsigned __int128 per_ks = (unsigned __int128)amount * 1000000000000u / (uint64_t)took;
    return per_ks > INT64_MAX ? INT64_MAX : (int64_t)per_ks;
}

/* Reads the number in an end mark. Returns 0 if it has none. */
static inline int ws_read_count(const ws_rules *r, const ws_streams *t, const uint8_t *payload, size_t size, int64_t *count) {
    ws_value value;
    int found = t->count.count ? ws_find(&t->count, payload, size, &value) : WS_ASK, plain = found == WS_FOUND;
    plain = plain && value.size && value.size <= WS_LONGEST_COUNT;
    for (size_t i = 0; plain && i < value.size; i++) plain = ws_is_digit(value.text[i]);
    if (found == WS_NONE) return 0;
    if (!plain && r->ask(r->loop, WS_ASK_COUNT, 0, payload, size, &value) != WS_FOUND) return 0;
    *count = 0;
    for (size_t i = 0; i < value.size; i++) *count = *count * 10 + value.text[i] - '0';
    return 1;
}

/* Records the size and the rates of an answer whose end mark was read at an instant. */
static inline void ws_record_answer(
    const ws_rules *r, ws_streams *t, const ws_answer *a, const uint8_t *payload, size_t size, int64_t at) {
    int64_t took = at - a->due > 1 ? at - a->due : 1, count;
    t->counts.without_first += !a->has_begun;
    ws_record(&t->times[WS_ANSWER_MESSAGES], (int64_t)a->messages, 1);
    ws_record(&t->times[WS_ANSWER_BYTES], (int64_t)a->size, 1);
    ws_record(&t->times[WS_MESSAGES_PER_KS], ws_per_ks(a->messages, took), 1);
    ws_record(&t->times[WS_BYTES_PER_KS], ws_per_ks(a->size, took), 1);
    if (!t->reads_count) return;
    if (!ws_read_count(r, t, payload, size, &count)) {
        t->counts.without_count++;
        return;
    }
    ws_record(&t->times[WS_ANSWER_COUNT], count, 1);
    ws_record(&t->times[WS_COUNT_PER_KS], ws_per_ks((uint64_t)count, took), 1);
}

/* Counts a message of an answer, read at an instant. Returns 1 if it is the end mark. */
static inline int ws_add_part(
    const ws_rules *r, ws_streams *t, ws_answer *a, const uint8_t *payload, size_t size, int64_t at, int is_measured,
    int is_last) {
    a->messages++;
    a->size += size;
    if (a->has_begun) {
        int64_t gap = at - a->last;
        if (is_measured) {
            ws_record(&t->times[WS_GAP], gap, 1);
            t->counts.stalls += gap > t->stall;
            t->counts.came_together += gap <= t->stall && gap <= 0;
        }
        a->last = at;
    } else if (!r->firsts || ws_passes_any(r, WS_ASK_FIRST, r->firsts, payload, size)) {
        a->has_begun = 1;
        a->last = at;
        if (is_measured) ws_record(&t->times[WS_FIRST_TIME], at - a->due, 1);
    }
    if (is_measured) {
        t->counts.streamed++;
        if (is_last) ws_record_answer(r, t, a, payload, size, at);
    }
    return is_last;
}

/* Judges a whole message, read at an instant, as `ws_judge` does where answers are one message each: WS_REPLY is an end
 * mark, and WS_PART a message before it. */
static inline int ws_judge_part(
    ws_rules *r, ws_streams *t, ws_session *s, uint32_t slot, const uint8_t *payload, size_t size, int64_t at,
    int64_t measured_from, ws_match *match) {
    int has_id = 0;
    uint64_t hash = 0;
    int found = ws_judge_place(r, slot, s->connection, payload, size, &s->greetings);
    if (found != WS_REPLY) return found;
    ws_answer *a = ws_find_answer(r, t, s, slot, payload, size, &has_id, &hash);
    int is_last = ws_passes_any(r, WS_ASK_UNTIL, r->untils, payload, size);
    if (!a && !is_last) return has_id && !ws_fates_know(&r->fates, hash) ? WS_STRAY : WS_PUSH;
    if (a && !ws_add_part(r, t, a, payload, size, at, a->due >= measured_from, is_last)) return WS_PART;
    if (a) {
        /* What is in flight until the end of the read is not answered twice. */
        uint32_t ended = a->ended + 1;
        memset(a, 0, sizeof *a);
        a->ended = r->by <= WS_BY_ORDER ? ended : 0;
    }
    return ws_judge_reply(r, &s->ids, slot, s->connection, 0, payload, size, match);
}

/* Takes note of the end of a read: the answers that have ended in it are in flight no more. */
static inline void ws_end_read(ws_streams *t, uint32_t slot) {
    if (slot < t->capacity) t->answers[slot].ended = 0;
}

/* Takes out the oldest message of a session as `ws_expired` does, with what has come of its answer. */
static inline int ws_expired_answer(
    ws_rules *r, ws_streams *t, ws_session_ids *ids, int64_t before, int64_t measured_from, ws_match *match) {
    uint32_t oldest = ids->oldest;
    if (!ws_expired(r, ids, before, match)) return 0;
    if (ws_take_answer(t, oldest).messages) t->counts.broken_off += match->due >= measured_from;
    return 1;
}

#endif
