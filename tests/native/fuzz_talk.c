/* Fuzzes what the compiled loop does with the content of messages: the scanner of JSON, ids in flight, templates.
 *
 *   fuzz_talk SECONDS [SEED]      its own generator
 *   -DLIBFUZZER                   an entry for clang's -fsanitize=fuzzer instead, of the scanner alone
 *
 * The scanner finds what was put there, and reads no byte beyond its message, however that is damaged. The table of ids
 * gives what a list gives that is searched from its beginning; frames, unmasked, are what was rendered.
 * tools/fuzz_wire.sh builds it with address and undefined-behaviour sanitizers.
 */
#include "talk.h"

#include "batch.h"

#include "streams.h"

#include <stdio.h>

enum { LARGEST = 1 << 14, IDS = 40, SESSIONS = 3, LISTED = 4000 };

static uint64_t state = 88172645463325252u;
static uint32_t draw(uint32_t below) {
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    abort();
}

/* --- The scanner ------------------------------------------------------------------------------------------------------ */

static ws_step steps[] = {
    {(const uint8_t *)"data", 4, 0}, {(const uint8_t *)"id", 2, 0}, {NULL, 0, 1}, {(const uint8_t *)"id", 2, 0}};
static const ws_path paths[] = {{steps + 1, 1, 1}, {steps, 2, 2}, {steps, 4, 2}, {steps + 2, 2, 0}};
enum { PATHS = sizeof paths / sizeof *paths };

static int find(unsigned path, const uint8_t *data, size_t size, ws_value *value) {
    /* A block of its own, so that a read past its end is seen. */
    uint8_t *block = malloc(size + !size);
    memcpy(block, data, size);
    int found = ws_find(&paths[path], block, size, value);
    if (found == WS_FOUND) {
        int inside = value->text >= block && value->text + value->size <= block + size;
        if (inside) value->text = data + (value->text - block);
        else if (value->text != value->unescaped || value->size > WS_UNESCAPED) fail("a value that is nowhere");
        if (!ws_is_utf8(value->text, value->size)) fail("a value that is no UTF-8");
    }
    free(block);
    return found;
}

#ifdef LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ws_value value;
    for (unsigned i = 0; i < PATHS; i++) find(i, data, size, &value);
    return 0;
}
#else
static uint8_t text[2 * LARGEST];
static size_t at;

static void put(const char *more) {
    size_t size = strlen(more);
    if (at + size < LARGEST) memcpy(text + at, more, size), at += size;
}

static void put_blanks(void) {
    static const char *const blanks[] = {"", "", "", " ", "\n", "\t ", "\r\n"};
    put(blanks[draw(7)]);
}

static void put_text(void) {
    static const char *const parts[] = {"a", "bc", "\\n", "\\\"", "\\\\", "\\u00e9", "\\ud83d\\ude00", "é", "😀", "0123456789", "/", "id"};
    put("\"");
    for (uint32_t i = draw(6); i; i--) put(parts[draw(12)]);
    put("\"");
}

static void put_value(int depth);

/* An object, in which the value at `name` is what comes next of the path. */
static void put_object(int depth, const char *name, void (*inner)(int), int then) {
    put("{");
    uint32_t before = draw(3), behind = draw(3);
    for (uint32_t i = 0; i < before + !!name + behind; i++) {
        if (i) put(",");
        put_blanks();
        if (name && i == before) {
            put("\""), put(name), put("\"");
        } else put("\"x"), put(draw(2) ? "\"" : "\\u0069\"");
        put_blanks(), put(":"), put_blanks();
        if (name && i == before) inner(then);
        else put_value(depth + 1);
        put_blanks();
    }
    put("}");
}

static void put_value(int depth) {
    static const char *const plain[] = {"null", "true", "false", "0", "-1", "17", "1.5", "-2e3", "12345678901234567890"};
    switch (depth > 4 ? draw(10) : draw(14)) {
    case 10: case 11: put_object(depth, NULL, NULL, 0); break;
    case 12: case 13:
        put("[");
        for (uint32_t i = draw(4); i; i--) {
            put_value(depth + 1);
            if (i > 1) put_blanks(), put(","), put_blanks();
        }
        put("]");
        break;
    case 9: put_text(); break;
    default: put(plain[draw(9)]);
    }
}

static const char *planted;
static void put_planted(int then) { (void)then; put(planted); }
static void put_id(int then) { (void)then; put_object(0, "id", put_planted, 0); }
static void put_array(int then) {
    put("["), put_value(3), put(","), put_blanks();
    put_id(then);
    if (draw(2)) put(","), put_value(3);
    put("]");
}
static void put_id_with_array(int then) { (void)then; put_object(0, "id", put_array, 0); }

static void check_scanner(uint64_t *found) {
    static const struct { const char *text, *value; } values[] = {
        {"7", "7"}, {"\"7\"", "7"}, {"-12", "-12"}, {"\"a b\"", "a b"}, {"\"\"", ""}, {"true", "true"}, {"null", NULL},
        {"\"\\u00e9\\ud83d\\ude00\\n\"", "\xc3\xa9\xf0\x9f\x98\x80\n"}, {"\"\\/\\\"\"", "/\""}};
    uint32_t which = draw(9), path = draw(PATHS);
    ws_value value;
    planted = values[which].text;
    at = 0;
    put_blanks();
    switch (path) {
    case 0: put_id(0); break;
    case 1: put_object(0, "data", put_id, 0); break;
    case 2: put_object(0, "data", put_id_with_array, 0); break;
    default: put_array(0);
    }
    put_blanks();
    if (at + 16 >= LARGEST) return;
    int is = find(path, text, at, &value);
    /* Python is asked for numbers that it may not take, where it decodes all. */
    if (is == WS_ASK && path < 2) fail("asked for what is plain");
    if (is != WS_ASK && (is == WS_FOUND) != (values[which].value != NULL)) fail("found what is not there, or did not find what is");
    if (is == WS_FOUND && (value.size != strlen(values[which].value) || memcmp(value.text, values[which].value, value.size)))
        fail("found another value");
    *found += is == WS_FOUND;
    /* Damage, and an end anywhere. */
    for (int i = 0; i < 4; i++) {
        if (draw(2)) text[draw((uint32_t)at)] = (uint8_t)draw(256);
        for (unsigned each = 0; each < PATHS; each++) find(each, text, draw(2) ? at : draw((uint32_t)at), &value);
    }
    /* A message that is cut off has no value. */
    at = 0;
    put_id(0);
    if (find(0, text, at - 1 - draw((uint32_t)at - 1), &value) == WS_FOUND) fail("found a value in half a message");
}

/* --- Ids in flight ---------------------------------------------------------------------------------------------------- */

typedef struct { uint32_t session, id; int64_t sent; uint64_t number; int in_flight; } listed;

static uint32_t id_text(uint32_t id, uint8_t *out) {
    /* Some are longer than what a message keeps beside itself; the last one is none. */
    uint32_t size = id + 1 == IDS ? WS_NO_ID : 1 + id * 37 % 60;
    for (uint32_t i = 0; size != WS_NO_ID && i < size; i++) out[i] = (uint8_t)(id + i);
    return size;
}

static int never(void *loop, int what, unsigned place, const uint8_t *payload, size_t size, ws_value *value) {
    (void)loop, (void)what, (void)place, (void)payload, (void)size, (void)value;
    return WS_NONE;
}

static void check_ids(uint64_t *answered) {
    static listed list[LISTED];
    ws_rules rules = {.by = WS_BY_PAYLOAD, .ask = never};
    ws_session_ids sessions[SESSIONS];
    uint64_t numbers[SESSIONS] = {0};
    for (int i = 0; i < SESSIONS; i++) ws_session_ids_init(&sessions[i]);
    uint32_t count = 0, in_flight = 0;
    uint8_t id[64];
    uint32_t greetings = 0;
    for (uint32_t turn = 0; turn < LISTED; turn++) {
        uint32_t session = draw(SESSIONS), which = draw(IDS), size = id_text(which, id), found = LISTED;
        ws_match match;
        switch (draw(turn < LISTED / 2 ? 5 : 3)) {
        case 0: case 3: case 4:
            if (!ws_launched(&rules, &sessions[session], session, session, id, size, turn, turn)) fail("no memory");
            list[count++] = (listed){session, which, turn, numbers[session]++, 1};
            in_flight++;
            break;
        case 1:
            if (size == WS_NO_ID) break;
            for (uint32_t i = 0; i < count && found == LISTED; i++)
                if (list[i].in_flight && list[i].session == session && list[i].id == which) found = i;
            int is = ws_judge(&rules, &sessions[session], session, session, 0, id, size, &greetings, &match);
            if ((is == WS_REPLY) != (found != LISTED)) fail("answered what is not in flight, or did not answer what is");
            if (is != WS_REPLY) break;
            if (match.sent != list[found].sent) fail("answered another message than the oldest");
            list[found].in_flight = 0;
            in_flight--;
            ++*answered;
            break;
        default:
            for (uint32_t i = 0; i < count && found == LISTED; i++)
                if (list[i].in_flight && list[i].session == session) found = i;
            int64_t before = draw(8) ? (int64_t)turn - 100 : (int64_t)turn;
            int due = found != LISTED && list[found].sent < before;
            if (ws_expired(&rules, &sessions[session], before, &match) != due) fail("expired another message than the oldest");
            if (due) list[found].in_flight = 0, in_flight--;
        }
        if (rules.awaiting.firsts.filled > in_flight) fail("more ids than messages");
    }
    ws_rules_free(&rules);
}

static void check_fates(void) {
    ws_fates fates = {0};
    uint32_t beyond = draw(3000), sorted = draw(2) ? draw(WS_RECENT_IDS) : 0;
    for (uint64_t i = 0; i < WS_RECENT_IDS + beyond; i++) {
        ws_fates_note(&fates, ws_mix(i + 1, 0x9E3779B97F4A7C15u), i & 1 ? WS_LATE : WS_DUPLICATE);
        if (i == sorted && i && ws_fates_classify(&fates, 12345) != WS_UNKNOWN) fail("a fate of what was never sent");
    }
    for (uint64_t i = 0; i < WS_RECENT_IDS + beyond; i += 1 + draw(50)) {
        uint64_t hash = ws_mix(i + 1, 0x9E3779B97F4A7C15u);
        uint32_t fate = ws_fates_classify(&fates, hash), wanted = i < beyond ? WS_UNKNOWN : i & 1 ? WS_LATE : WS_DUPLICATE;
        if (fate != wanted) fail("another fate");
        if (fate != WS_UNKNOWN && ws_fates_classify(&fates, hash) != WS_DUPLICATE) fail("a late reply that came twice");
    }
    ws_fates_free(&fates);
}

/* --- Templates -------------------------------------------------------------------------------------------------------- */

static void check_frames(uint64_t *frames) {
    uint8_t literal[] = "{\"id\": ";
    int64_t low = (int64_t)((uint64_t)draw(1u << 31) << 33) >> draw(60);
    uint64_t span = draw(4) ? 1 + draw(1u << 31) : 0;
    ws_part parts[] = {
        {literal, 7, WS_HOLE_SEQ, 0, 0}, {literal, draw(8), WS_HOLE_RANDOM, 1 + draw(draw(8) ? 200 : 70000), 0},
        {literal, 0, WS_HOLE_UUID, 0, 0}, {literal, 1, WS_HOLE_INT, low, span}, {literal, 3, WS_HOLE_CONNECTION, 0, 0},
        {literal, 1, WS_HOLE_NOW_MS, 0, 0}};
    ws_template template = {parts, 1 + draw(6), 0, 0};
    ws_source *source = calloc(1, sizeof *source);
    source->templates = &template, source->shards = 1 + draw(5), source->shard = draw((uint32_t)source->shards);
    for (int i = 0; i < 4; i++) source->random[i] = 1 + draw(1u << 31);
    size_t largest = 0;
    for (unsigned i = 0; i < template.count; i++) largest += parts[i].size + ws_hole_bytes(&parts[i]);
    uint8_t *out = malloc(WS_LARGEST_HEAD + largest), *plain = malloc(largest);
    size_t size = ws_render(source, out + WS_LARGEST_HEAD, UINT64_MAX);
    if (size > largest) fail("a message that is larger than its template says");
    memcpy(plain, out + WS_LARGEST_HEAD, size);
    uint32_t mask = draw(1u << 31);
    size_t whole = ws_make_frame(out, 0x81, mask, size), head = whole - size;
    uint64_t length = out[1] & 127;
    if (head == 8) length = (uint64_t)out[2] << 8 | out[3];
    if (head == 14) for (int i = length = 0; i < 8; i++) length = length << 8 | out[2 + i];
    if (length != size || (head == 6) != (size < 126) || memcmp(out + head - 4, &mask, 4)) fail("another head");
    for (size_t i = 0; i < size; i++) if ((out[head + i] ^ out[head - 4 + (i & 3)]) != plain[i]) fail("another payload");
    free(out), free(plain), free(source);
    ++*frames;
}

/* --- Answers of many messages ------------------------------------------------------------------------------------------ */

/* A message in flight in the model, and what has come of its answer. */
typedef struct { uint32_t session, id; int64_t due, last; uint64_t messages, size; int in_flight, begun, ended; } asked;

/* The id of a message is its first byte, unless that is '-'. */
static int first_byte(void *loop, int what, unsigned place, const uint8_t *payload, size_t size, ws_value *value) {
    (void)loop, (void)place;
    if (what == WS_ASK_COUNT) return size > 4 ? (value->text = payload + 4, value->size = 1, WS_FOUND) : WS_NONE;
    if (!size || *payload == '-') return WS_NONE;
    value->text = payload, value->size = 1;
    return WS_FOUND;
}

static void check_streams(uint64_t *answers) {
    static asked list[LISTED];
    enum { STALL = 50, FROM = 1000 };
    ws_check until = {.kind = WS_CONTAINS, .text = (const uint8_t *)"E", .size = 1};
    ws_check first = {.kind = WS_CONTAINS, .text = (const uint8_t *)"w", .size = 1};
    ws_rules rules = {.by = draw(2) ? WS_BY_ORDER : WS_BY_QUESTION, .ask = first_byte, .until = &until, .untils = 1, .first = &first};
    rules.firsts = draw(2);
    ws_streams *streams = calloc(1, sizeof *streams);
    streams->stall = STALL, streams->reads_count = 1;
    for (int i = 0; i < WS_STREAM_TIMES; i++) streams->times[i].counts = calloc(WS_SLOTS, sizeof(uint64_t));
    ws_session sessions[SESSIONS];
    for (int i = 0; i < SESSIONS; i++) ws_session_init(&sessions[i]), sessions[i].connection = (uint64_t)i;
    ws_stream_counts wanted = {0};
    uint64_t gaps = 0, firsts = 0, ends = 0, messages = 0, bytes = 0, counted = 0;
    uint32_t count = 0;
    int64_t now = 1;
    for (uint32_t turn = 0; turn < LISTED; turn++) {
        uint32_t which = draw(SESSIONS), id = 'a' + draw(6), found = LISTED;
        ws_session *s = &sessions[which];
        ws_match match;
        switch (draw(8)) {
        case 0: case 1:
            if (rules.by == WS_BY_ORDER) ws_launch(s, now, now, 1);
            else {
                uint8_t byte = (uint8_t)id;
                if (!ws_launched(&rules, &s->ids, which, which, &byte, 1, now, now)) fail("no memory");
            }
            list[count++] = (asked){.session = which, .id = id, .due = now, .in_flight = 1};
            break;
        case 2: {
            /* Time passes: in order, the read is over and replies are paired; by ids, what is old is given up. */
            now += draw(100);
            for (uint32_t i = 0; rules.by == WS_BY_ORDER && i < SESSIONS; i++) {
                uint32_t over = 0;
                for (uint32_t k = 0; k < count; k++)
                    if (list[k].session == i && list[k].ended && list[k].in_flight) list[k].in_flight = 0, over++;
                while (over) over -= ws_land(&sessions[i], over).count;
                ws_end_read(streams, i);
            }
            if (rules.by == WS_BY_ORDER) break;
            int64_t before = now - 300;
            for (uint32_t k = 0; k < count; k++)
                if (list[k].session == which && list[k].in_flight && list[k].due < before) {
                    list[k].in_flight = 0;
                    wanted.broken_off += list[k].messages && list[k].due >= FROM;
                }
            while (ws_expired_answer(&rules, streams, &s->ids, before, FROM, &match)) {}
            break;
        }
        default: {
            uint8_t *payload = malloc(6);
            static const char *const forms[] = {"a", "aw", "aww", "awE7", "a_E_", "a_E_5"};
            const char *form = forms[draw(6)];
            size_t size = strlen(form);
            memcpy(payload, form, size);
            payload[0] = draw(10) ? (uint8_t)id : '-';
            int is_last = memchr(payload, 'E', size) != NULL, begins = !rules.firsts || memchr(payload, 'w', size);
            for (uint32_t k = 0; k < count && found == LISTED; k++)
                if (list[k].session == which && list[k].in_flight && !list[k].ended && (rules.by == WS_BY_ORDER || list[k].id == payload[0]))
                    found = k;
            int is = ws_judge_part(&rules, streams, s, which, payload, size, now, FROM, &match);
            free(payload);
            if (found == LISTED) {
                if (is == WS_PART || (is == WS_REPLY && !(is_last && rules.by == WS_BY_ORDER))) fail("a part of no answer");
                break;
            }
            asked *a = &list[found];
            int measured = a->due >= FROM;
            if (is != (is_last ? WS_REPLY : WS_PART)) fail("an answer that does not end with its mark");
            a->messages++, a->size += size;
            if (a->begun) {
                gaps += measured, wanted.stalls += measured && now - a->last > STALL, wanted.came_together += measured && now == a->last;
                a->last = now;
            } else if (begins) a->begun = 1, a->last = now, firsts += measured;
            wanted.streamed += measured;
            if (is_last) {
                a->ended = 1;
                if (rules.by != WS_BY_ORDER) a->in_flight = 0;
                wanted.without_first += measured && !a->begun, wanted.without_count += measured && size < 5;
                ends += measured, messages += measured * a->messages, bytes += measured * a->size, counted += measured && size > 4;
            }
        }
        }
    }
    const ws_histogram *h = streams->times;
    if (memcmp(&wanted, &streams->counts, sizeof wanted)) fail("other counts of answers");
    if (h[WS_GAP].count != gaps || h[WS_FIRST_TIME].count != firsts || h[WS_ANSWER_MESSAGES].count != ends) fail("other times");
    if ((uint64_t)h[WS_ANSWER_MESSAGES].sum != messages || (uint64_t)h[WS_ANSWER_BYTES].sum != bytes) fail("other sizes");
    if (h[WS_ANSWER_COUNT].count != counted || h[WS_COUNT_PER_KS].count != counted) fail("other numbers");
    *answers += ends;
    rules.until = rules.first = NULL, rules.untils = rules.firsts = 0;
    for (int i = 0; i < SESSIONS; i++) ws_session_free(&sessions[i]);
    ws_rules_free(&rules);
    ws_streams_free(streams);
    free(streams);
}

/* --- Rows of a feed ----------------------------------------------------------------------------------------------------- */

enum { ROWS = 300, VALUES = 3, LONGEST_VALUE = 60 };

typedef struct { ws_source *source; uint64_t handed; uint32_t values; int broken; } feeding;

/* The text of a value: its row and its place are in each of its bytes. */
static size_t value_text(uint64_t row, uint32_t value, uint8_t *out) {
    size_t size = (row * 7 + value * 13) % LONGEST_VALUE;
    for (size_t i = 0; i < size; i++) out[i] = (uint8_t)(row * 31 + value * 101 + i);
    return size;
}

static int hand_over(feeding *f, uint32_t rows) {
    /* Blocks of their own, so that a read past their ends is seen. */
    uint64_t *sizes = malloc(rows * f->values * sizeof *sizes + 1);
    size_t total = 0, count = 0;
    uint8_t *text = malloc(rows * f->values * LONGEST_VALUE + 1);
    for (uint32_t row = 0; row < rows; row++, f->handed++)
        for (uint32_t value = 0; value < f->values; value++) total += sizes[count++] = value_text(f->handed, value, text + total);
    uint8_t *exact = malloc(total + 1);
    memcpy(exact, text, total);
    if (!ws_rows_add(&f->source->rows, exact, sizes, rows)) fail("no memory");
    free(exact), free(text), free(sizes);
    ws_source_fit(f->source);
    return 1;
}

static int more(void *loop) {
    feeding *f = loop;
    if (f->broken && !draw(4)) return 0;
    return hand_over(f, 1 + draw(70));
}

static void check_rows(uint64_t *rows) {
    ws_part parts[2 * VALUES];
    memset(parts, 0, sizeof parts);
    uint32_t values = 1 + draw(VALUES), used = 1 + draw(2 * VALUES);
    for (uint32_t i = 0; i < used; i++) parts[i] = (ws_part){(uint8_t *)"-", 1, WS_HOLE_FEED, draw(values), 0};
    ws_template template = {parts, used, used, used};
    ws_source *source = calloc(1, sizeof *source);
    feeding f = {source, 0, values, draw(2)};
    *source = (ws_source){.templates = &template, .count = 1, .shards = 1 + draw(5), .random = {1, 2, 3, 4}};
    source->shard = draw((uint32_t)source->shards);
    source->rows.order = WS_ROWS_IN_TURN + (int)draw(4), source->rows.values = values;
    source->rows.more = more, source->rows.loop = &f;
    if (source->rows.order != WS_ROWS_ONCE) hand_over(&f, 1 + draw(ROWS));
    ws_batch batch = {0};
    ws_rules rules = {.by = draw(2) ? WS_BY_PAYLOAD : WS_BY_ORDER};
    if (!ws_batch_fit(&batch, source)) fail("no memory");
    uint64_t number = 0;
    for (int turn = 0; turn < 20; turn++) {
        uint64_t connection = draw(source->rows.count + !source->rows.count) * source->shards + source->shard;
        uint32_t most = 1 + draw(100), made = ws_make(&batch, source, &rules, connection, most);
        if (made > most || (!made && !f.broken)) fail("another number of messages");
        const uint8_t *at = batch.data;
        for (uint32_t i = 0; i < made; i++, number++) {
            uint8_t wanted[2 * VALUES * (LONGEST_VALUE + 1)];
            uint64_t row = number;
            if (source->rows.order == WS_ROWS_IN_TURN) row = ws_global_index(number, source->shard, source->shards) % source->rows.count;
            if (source->rows.order == WS_ROWS_OF_CONNECTION) row = connection / source->shards;
            if (source->rows.order == WS_ROWS_RANDOM) {
                if (source->rows.taken < number + 1) fail("a row that was not counted");
                if (source->rows.taken - number > WS_RECENT_ROWS) fail("rows that were not asked for");
                row = source->rows.recent[number % WS_RECENT_ROWS];
            }
            size_t size = 0;
            for (uint32_t hole = 0; hole < used; hole++) {
                wanted[size++] = '-';
                size += value_text(row, (uint32_t)parts[hole].low, wanted + size);
            }
            size_t head = size < 126 ? 6 : 8;
            for (size_t k = 0; k < size; k++)
                if ((at[head + k] ^ at[head - 4 + (k & 3)]) != wanted[k]) fail("another row");
            at += head + size;
            ++*rows;
        }
        if (at != batch.data + batch.size) fail("frames of another size");
    }
    ws_batch_free(&batch);
    ws_rows_free(&source->rows);
    free(source);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 5;
    if (argc > 2) state ^= strtoull(argv[2], NULL, 10) * 2654435761u;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double end = (double)now.tv_sec + (double)now.tv_nsec / 1e9 + seconds;
    uint64_t found = 0, answered = 0, frames = 0, rows = 0, answers = 0;
    for (uint64_t turn = 0; (double)now.tv_sec + (double)now.tv_nsec / 1e9 < end; turn++) {
        for (int i = 0; i < 300; i++) check_scanner(&found);
        check_ids(&answered);
        check_streams(&answers);
        for (int i = 0; i < 30; i++) check_frames(&frames);
        for (int i = 0; i < 10; i++) check_rows(&rows);
        if (turn % 20 == 0) check_fates();
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    printf("%lu values found, %lu messages answered by their ids, %lu frames rendered, %lu rows of feeds, %lu answers of many: all as they should be\n",
        found, answered, frames, rows, answers);
    return !(found && answered && frames && rows && answers);
}
#endif
