/* Messages that are about to leave together: their frames, and their ids. Plain C without Python. */
#ifndef WS_LOAD_TEST_BATCH_H
#define WS_LOAD_TEST_BATCH_H

#include "talk.h"

#include "render.h"

enum {
    WS_BATCH = 64,           /* messages that are made at once: their frames stay in the first-level cache */
    WS_BATCH_BYTES = 32768,  /* bytes of their frames, unless one alone is larger */
};

typedef struct {
    uint8_t *data; /* frames in a row */
    size_t size, room;
    uint8_t *ids;  /* ids in a row */
    size_t ids_size, ids_room;
    uint32_t id_sizes[WS_BATCH];
    uint32_t count;
} ws_batch;

static inline void ws_batch_free(ws_batch *b) {
    free(b->data);
    free(b->ids);
    memset(b, 0, sizeof *b);
}

/* Makes room for the largest message. Returns 0 if there is no memory. */
static inline int ws_batch_fit(ws_batch *b, const ws_source *source) {
    size_t one = WS_LARGEST_HEAD + source->largest, room = one > WS_BATCH_BYTES ? one : WS_BATCH_BYTES;
    uint8_t *grown = b->data && room <= b->room ? b->data : realloc(b->data, room);
    if (!grown) return 0;
    b->data = grown;
    if (room > b->room) b->room = room;
    return 1;
}

/* Notes the id of a message that is about to leave, or that it has none. */
static inline void ws_batch_note_id(ws_batch *b, int found, const ws_value *id) {
    uint32_t size = WS_NO_ID;
    if (found == WS_FOUND && b->ids_room - b->ids_size < id->size) {
        size_t room = 2 * (b->ids_size + id->size);
        uint8_t *ids = realloc(b->ids, room);
        if (ids) b->ids = ids, b->ids_room = room;
    }
    if (found == WS_FOUND && b->ids_room - b->ids_size >= id->size) {
        if (id->size) memcpy(b->ids + b->ids_size, id->text, id->size);
        b->ids_size += id->size;
        size = (uint32_t)id->size;
    }
    b->id_sizes[b->count] = size;
}

/* Makes the next messages of a connection, `most` at most. Returns how many: 0 if the feed has no more rows. */
static inline uint32_t ws_make(ws_batch *b, ws_source *source, const ws_rules *rules, uint64_t connection, uint32_t most) {
    b->size = b->ids_size = 0;
    b->count = 0;
    do {
        /* New rows may be larger than any before. */
        if (__builtin_expect(ws_rows_used_up(&source->rows), 0))
            if (!source->rows.more(source->rows.loop) || b->room - b->size < WS_LARGEST_HEAD + source->largest) break;
        uint8_t *frame = b->data + b->size, *payload = frame + WS_LARGEST_HEAD;
        size_t size = ws_render(source, payload, connection);
        if (rules->by > WS_BY_ORDER) {
            ws_value id;
            ws_batch_note_id(b, ws_id_of(rules, 0, payload, size, &id), &id);
        }
        b->size += ws_make_frame(frame, source->first, source->mask, size);
        b->count++;
    } while (b->count < most && b->count < WS_BATCH && b->room - b->size >= WS_LARGEST_HEAD + source->largest);
    return b->count;
}

/* Notes the messages of a batch as in flight by their ids. */
static inline void ws_batch_left(
    const ws_batch *b, ws_rules *rules, ws_session_ids *s, uint32_t session, uint64_t connection, int64_t due, int64_t sent) {
    const uint8_t *id = b->ids;
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t size = b->id_sizes[i];
        ws_launched(rules, s, session, connection, id, size, due, sent);
        if (size != WS_NO_ID) id += size;
    }
}

#endif
