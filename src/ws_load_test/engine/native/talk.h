/* What a message of the target is: a reply to one in flight, one too many, or a push.
 *
 * Plain C without Python, fuzzed by tests/native/fuzz_talk.c. The rules are those of `Connection.on_message` and of the
 * conversations in engine/conversations: `in_order.py`, `correlated.py`.
 */
#ifndef WS_LOAD_TEST_TALK_H
#define WS_LOAD_TEST_TALK_H

#include "scan.h"

#include "ids.h"

/* Not at all, in order, or by an id: the whole payload, a value in JSON, or what only Python finds. */
enum { WS_UNAWAITED = -1, WS_BY_ORDER = 0, WS_BY_PAYLOAD = 1, WS_BY_JSON = 2, WS_BY_QUESTION = 3 };
enum { WS_ASK_REPLY_ID, WS_ASK_MESSAGE_ID, WS_ASK_IGNORE, WS_ASK_EXPECT, WS_ASK_UNTIL, WS_ASK_FIRST, WS_ASK_COUNT };
enum { WS_REPLY, WS_PUSH, WS_STRAY, WS_LATE_REPLY, WS_DUPLICATE_REPLY, WS_GREETING };

/* Has Python look at a message: WS_FOUND or WS_NONE. An id that it finds is in `value`, in memory of its own. */
typedef int (*ws_ask)(void *loop, int what, unsigned place, const uint8_t *payload, size_t size, ws_value *value);

typedef struct {
    int by;
    int pongs;            /* pongs are the replies, and no other message is */
    ws_path in_message, in_reply;
    uint8_t *pong;        /* payload of the pongs that are replies, where they come in order; NULL: none is */
    size_t pong_size;
    ws_check *ignore, *expect;
    unsigned ignored, expected;
    ws_check *until, *first; /* of answers that are many messages: the end mark, and the message that counts as the first */
    unsigned untils, firsts;
    uint64_t *failed;     /* replies that failed, of each of `expect` */
    ws_awaiting awaiting;
    ws_fates fates;
    ws_ask ask;
    void *loop;
} ws_rules;

/* A message that was answered. */
typedef struct {
    int64_t due, sent;
    int out_of_order;
} ws_match;

/* Returns 1 if a pong is a reply, where they come in order. */
static inline int ws_is_pong(const ws_rules *r, const uint8_t *payload, size_t size) {
    return r->pong && size == r->pong_size && !memcmp(payload, r->pong, size);
}

/* Finds the id of a message of ours, or of a reply: WS_FOUND or WS_NONE. */
static inline int ws_id_of(const ws_rules *r, int is_reply, const uint8_t *payload, size_t size, ws_value *id) {
    if (r->by == WS_BY_PAYLOAD) {
        id->text = payload;
        id->size = size;
        return WS_FOUND;
    }
    int found = r->by == WS_BY_QUESTION ? WS_ASK : ws_find(is_reply ? &r->in_reply : &r->in_message, payload, size, id);
    return found == WS_ASK ? r->ask(r->loop, is_reply ? WS_ASK_REPLY_ID : WS_ASK_MESSAGE_ID, 0, payload, size, id) : found;
}

static inline int ws_passes(const ws_rules *r, int what, unsigned place, const uint8_t *payload, size_t size) {
    const ws_check *checks = what == WS_ASK_IGNORE  ? r->ignore
                             : what == WS_ASK_EXPECT ? r->expect
                             : what == WS_ASK_UNTIL  ? r->until
                                                     : r->first;
    int passes = ws_satisfies(&checks[place], payload, size);
    return passes == WS_ASK ? r->ask(r->loop, what, place, payload, size, NULL) == WS_FOUND : passes;
}

static inline int ws_is_ignored(const ws_rules *r, const uint8_t *payload, size_t size) {
    for (unsigned i = 0; i < r->ignored; i++)
        if (ws_passes(r, WS_ASK_IGNORE, i, payload, size)) return 1;
    return 0;
}

/* Counts the first check that a reply fails. */
static inline void ws_check_reply(const ws_rules *r, const uint8_t *payload, size_t size) {
    for (unsigned i = 0; i < r->expected; i++)
        if (!ws_passes(r, WS_ASK_EXPECT, i, payload, size)) {
            r->failed[i]++;
            return;
        }
}

/* Returns 1 if a message has the id of one in flight. */
static inline int ws_is_awaited(
    const ws_rules *r, uint32_t session, uint64_t connection, const uint8_t *payload, size_t size) {
    ws_value id;
    if (r->by <= WS_BY_ORDER || ws_id_of(r, 1, payload, size, &id) != WS_FOUND) return 0;
    uint64_t hash = ws_id_hash(id.text, id.size, connection);
    return ws_awaiting_find(&r->awaiting, session, id.text, (uint32_t)id.size, hash) != NULL;
}

/* Judges a message by the rules that come before all others: WS_PUSH, WS_GREETING, or WS_REPLY where it may be one.
 * `*greetings` is how many messages at the beginning of the session are still to come that answer nothing. */
static inline int ws_judge_place(
    const ws_rules *r, uint32_t session, uint64_t connection, const uint8_t *payload, size_t size, uint32_t *greetings) {
    if (ws_is_ignored(r, payload, size)) return WS_PUSH;
    if (*greetings && !ws_is_awaited(r, session, connection, payload, size)) {
        --*greetings;
        return WS_GREETING;
    }
    return WS_REPLY;
}

/* Judges a message that may be a reply, as `ws_judge`. */
static inline int ws_judge_reply(
    ws_rules *r, ws_session_ids *s, uint32_t session, uint64_t connection, int is_pong, const uint8_t *payload, size_t size,
    ws_match *match) {
    ws_value id;
    if (r->pongs != is_pong || r->by == WS_UNAWAITED) return WS_PUSH;
    if (r->by == WS_BY_ORDER) return WS_REPLY;
    if (ws_id_of(r, 1, payload, size, &id) != WS_FOUND) return WS_PUSH;
    uint64_t hash = ws_id_hash(id.text, id.size, connection);
    ws_awaited *f = ws_awaiting_find(&r->awaiting, session, id.text, (uint32_t)id.size, hash);
    if (!f) {
        uint32_t fate = ws_fates_classify(&r->fates, hash);
        if (fate != WS_UNKNOWN) return fate == WS_LATE ? WS_LATE_REPLY : WS_DUPLICATE_REPLY;
        return r->by == WS_BY_PAYLOAD ? WS_PUSH : WS_STRAY;
    }
    match->due = f->due;
    match->sent = f->sent;
    match->out_of_order = (int64_t)f->number < s->latest_answered;
    if (!match->out_of_order) s->latest_answered = (int64_t)f->number;
    ws_awaiting_remove(&r->awaiting, s, f);
    ws_fates_note(&r->fates, hash, WS_DUPLICATE);
    return WS_REPLY;
}

/* Judges a whole message, or a pong where pongs are replies. With replies in order it is WS_REPLY or WS_PUSH; by id, the
 * message that it answers is taken out, and is in `match`. WS_STRAY: an id that no message had. */
static inline int ws_judge(
    ws_rules *r, ws_session_ids *s, uint32_t session, uint64_t connection, int is_pong, const uint8_t *payload, size_t size,
    uint32_t *greetings, ws_match *match) {
    int found = ws_judge_place(r, session, connection, payload, size, greetings);
    return found == WS_REPLY ? ws_judge_reply(r, s, session, connection, is_pong, payload, size, match) : found;
}

/* Notes a message as in flight. Returns 0 if there is no memory. */
static inline int ws_launched(
    ws_rules *r, ws_session_ids *s, uint32_t session, uint64_t connection, const uint8_t *id, uint32_t size, int64_t due,
    int64_t sent) {
    uint64_t hash = size == WS_NO_ID ? 0 : ws_id_hash(id, size, connection);
    return ws_awaiting_add(&r->awaiting, s, session, id, size, hash, due, sent);
}

/* Takes out the oldest message of a session if it was sent before an instant. Returns 1 if it was; `match` has it. */
static inline int ws_expired(ws_rules *r, ws_session_ids *s, int64_t before, ws_match *match) {
    ws_awaited *f = s->oldest ? &r->awaiting.all[s->oldest] : NULL;
    if (!f || f->sent >= before) return 0;
    match->due = f->due;
    match->sent = f->sent;
    uint64_t hash = f->hash;
    int has_id = f->size != WS_NO_ID;
    ws_awaiting_remove(&r->awaiting, s, f);
    if (has_id) ws_fates_note(&r->fates, hash, WS_LATE);
    return 1;
}

static inline void ws_path_free(ws_path *path) {
    for (unsigned i = 0; i < path->count; i++) free((void *)path->steps[i].name);
    free(path->steps);
    memset(path, 0, sizeof *path);
}

static inline void ws_checks_free(ws_check *checks, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        ws_path_free(&checks[i].path);
        free((void *)checks[i].text);
    }
    free(checks);
}

static inline void ws_rules_free(ws_rules *r) {
    ws_path_free(&r->in_message);
    ws_path_free(&r->in_reply);
    ws_checks_free(r->ignore, r->ignored);
    ws_checks_free(r->expect, r->expected);
    ws_checks_free(r->until, r->untils);
    ws_checks_free(r->first, r->firsts);
    free(r->failed);
    free(r->pong);
    ws_awaiting_free(&r->awaiting);
    ws_fates_free(&r->fates);
    memset(r, 0, sizeof *r);
}

#endif
