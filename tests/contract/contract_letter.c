/* What every store of dead letters promises: a death once, a lease that ends, a drop that may come before its letter,
 * retention by count and age. */
#include "tests/contract/contract_event.h"

#define NOW INT64_C(1000000000000)
#define DAY INT64_C(86400000)

static const char id_a[] = "aa000000000000000000000000000000", id_b[] = "bb000000000000000000000000000000";
static const struct letter_keeping keeping = {.count_max = 3, .days = 30};

/* A place and its store. */
struct desk {
    struct place *place;
    struct event_store *store;
};

static int desk_make(void **state)
{
    struct desk *desk = calloc(1, sizeof *desk);
    void *place = NULL;
    int status = place_make(&place);
    desk->place = place;
    desk->store = place_store(desk->place, true, 7);
    *state = desk;
    return status;
}

static int desk_drop(void **state)
{
    struct desk *desk = *state;
    void *place = desk->place;
    event_store_destroy(&desk->store);
    free(desk);
    return place_drop(&place);
}

/* ---- one verb, one unit of work ---- */

static enum err finish(struct desk *desk, enum err e)
{
    const struct unit_of_work *unit = desk->store->unit;
    if (e == ERR_NONE) {
        return unit->commit(desk->store->handle, &desk->place->fault);
    }
    unit->rollback(desk->store->handle);
    return e;
}

static void begin(struct desk *desk)
{
    assert_int_equal(desk->store->unit->begin(desk->store->handle, true, &desk->place->fault), ERR_NONE);
}

static struct dead_letter letter_of(const char *id, int64_t death)
{
    struct dead_letter letter = {.request_id = text_of(id),
                                 .death = death,
                                 .route = TEXT("order.create"),
                                 .reason = TEXT("Every worker that had it died."),
                                 .attempts = 3,
                                 .flags = FRAME_REPEATABLE,
                                 .priority = 2,
                                 .age_ms = 1000,
                                 .bytes = 20,
                                 .meta = TEXT("\xc4\x01\x80"),
                                 .body = TEXT("\xc4\x03\xff\x00\xfe")};
    set_has(dead_letter, &letter, meta);
    set_has(dead_letter, &letter, body);
    return letter;
}

static enum err add(struct desk *desk, const struct dead_letter *letter, int64_t now_ms)
{
    begin(desk);
    return finish(
        desk, letters_add(desk->store->letters, desk->store->handle, letter, &keeping, now_ms, &desk->place->fault));
}

static void added(struct desk *desk, const char *id, int64_t death, int64_t now_ms)
{
    struct dead_letter letter = letter_of(id, death);
    assert_int_equal(add(desk, &letter, now_ms), ERR_NONE);
}

static struct mmi_dead_letters list(struct desk *desk, int64_t now_ms)
{
    struct mmi_dead_letters out;
    begin(desk);
    enum err e =
        desk->store->letters->list(desk->store->handle, now_ms, &desk->place->arena, &desk->place->fault, &out);
    assert_int_equal(finish(desk, e), ERR_NONE);
    assert_true(out.count >= (int64_t)out.letters.count);
    return out;
}

static enum err take(struct desk *desk, const char *id, const char *taker, int64_t now_ms, struct dead_letter *out)
{
    struct letter_take what = {.request_id = text_of(id), .taker = text_of(taker), .lease_ms = 5000};
    begin(desk);
    return finish(desk, desk->store->letters->take(desk->store->handle, &what, now_ms, &desk->place->arena,
                                                   &desk->place->fault, out));
}

/* death 0: any */
static enum err drop(struct desk *desk, const char *id, int64_t death)
{
    struct letter_drop what = {.request_id = text_of(id), .death = death};
    if (death) {
        set_has(letter_drop, &what, death);
    }
    begin(desk);
    return finish(desk, desk->store->letters->drop(desk->store->handle, &what, NOW, &desk->place->fault));
}

/* ---- promises ---- */

static void a_death_is_kept_once(void **state)
{
    struct desk *desk = *state;
    added(desk, id_a, 1, NOW);
    added(desk, id_a, 1, NOW + 5000);
    added(desk, id_b, 2, NOW + 1);
    struct mmi_dead_letters two = list(desk, NOW + 10000);
    assert_int_equal(two.count, 2);
    assert_true(text_is(two.letters.items[0].request_id, id_b)); /* the newest first */
    const struct mmi_dead_letter *a = &two.letters.items[1];
    assert_true(text_is(a->route, "order.create") && a->stored && !a->secret);
    assert_int_equal(a->age_ms, 11000);
    assert_int_equal(a->attempts, 3);
    assert_int_equal(a->bytes, 20);
    event_store_destroy(&desk->store);
    desk->store = place_store(desk->place, true, 7);
    assert_int_equal(list(desk, NOW + 10000).count, 2);
}

static void a_letter_comes_back_as_it_was(void **state)
{
    struct desk *desk = *state;
    struct dead_letter out;
    added(desk, id_a, INT64_MAX, NOW);
    assert_int_equal(take(desk, id_a, id_b, NOW, &out), ERR_NONE);
    assert_true(text_is(out.request_id, id_a) && text_is(out.route, "order.create"));
    assert_int_equal(out.death, INT64_MAX);
    assert_int_equal(out.flags, FRAME_REPEATABLE);
    assert_int_equal(out.priority, 2);
    assert_int_equal(out.meta.size, 3);
    assert_memory_equal(out.body.data, "\xc4\x03\xff\x00\xfe", 5);
}

static void a_lease_hides_it_and_ends(void **state)
{
    struct desk *desk = *state;
    struct dead_letter out;
    added(desk, id_a, 1, NOW);
    assert_int_equal(take(desk, id_b, id_b, NOW, &out), ERR_NOT_FOUND);
    assert_int_equal(take(desk, id_a, id_b, NOW, &out), ERR_NONE);
    assert_int_equal(list(desk, NOW + 4999).count, 0);
    assert_int_equal(take(desk, id_a, id_a, NOW + 4999, &out), ERR_CONFLICT);
    assert_int_equal(take(desk, id_a, id_b, NOW + 1, &out), ERR_NONE); /* the same one, again */
    assert_int_equal(list(desk, NOW + 5001).count, 1);
    assert_int_equal(take(desk, id_a, id_a, NOW + 5001, &out), ERR_NONE);
    added(desk, id_a, 2, NOW + 5002); /* it died again: that is news */
    assert_int_equal(list(desk, NOW + 5002).count, 1);
}

static void a_drop_may_come_first(void **state)
{
    struct desk *desk = *state;
    assert_int_equal(drop(desk, id_a, 0), ERR_NOT_FOUND);
    assert_int_equal(drop(desk, id_a, 1), ERR_NONE);
    added(desk, id_a, 1, NOW);
    assert_int_equal(list(desk, NOW).count, 0);
    added(desk, id_a, 2, NOW);
    assert_int_equal(list(desk, NOW).count, 1);
    assert_int_equal(drop(desk, id_a, 1), ERR_NONE); /* of the death before */
    assert_int_equal(list(desk, NOW).count, 1);
    assert_int_equal(drop(desk, id_a, 0), ERR_NONE);
    assert_int_equal(drop(desk, id_a, 0), ERR_NOT_FOUND);
    assert_int_equal(list(desk, NOW).count, 0);
    added(desk, id_a, 2, NOW);
    assert_int_equal(list(desk, NOW).count, 0);
}

static void no_secret_is_kept(void **state)
{
    struct desk *desk = *state;
    struct dead_letter secret = letter_of(id_a, 1), unflagged = letter_of(id_b, 2), out;
    secret.flags |= FRAME_SECRET;
    unflagged.route = TEXT("user.login#somebody"); /* its fields say so, whatever its sender has forgotten */
    assert_int_equal(add(desk, &secret, NOW), ERR_NONE);
    assert_int_equal(add(desk, &unflagged, NOW), ERR_NONE);
    struct mmi_dead_letters both = list(desk, NOW);
    assert_true(both.letters.items[0].secret && both.letters.items[1].secret);
    assert_int_equal(both.letters.items[0].bytes + both.letters.items[1].bytes, 0);
    assert_int_equal(take(desk, id_a, id_b, NOW, &out), ERR_CONFLICT);
    assert_int_equal(take(desk, id_b, id_b, NOW, &out), ERR_CONFLICT);
    assert_int_equal(drop(desk, id_b, 0), ERR_NONE);
}

static void retention_by_count_and_days(void **state)
{
    struct desk *desk = *state;
    char id[] = "c0000000000000000000000000000000";
    for (int i = 0; i < 5; i++) {
        id[1] = (char)('0' + i);
        added(desk, id, i + 1, NOW + i);
    }
    struct mmi_dead_letters newest = list(desk, NOW + 10);
    assert_int_equal(newest.count, 3);
    assert_int_equal(newest.letters.items[0].request_id.data[1], '4');
    assert_int_equal(newest.letters.items[2].request_id.data[1], '2');
    added(desk, id_a, 9, NOW + 31 * DAY);
    assert_int_equal(list(desk, NOW + 31 * DAY).count, 1);
    assert_int_equal(letters_cutoff_ms(&keeping, NOW), NOW - 30 * DAY);
}

/* More than a page: the count says so. */
static void a_long_list(void **state)
{
    struct desk *desk = *state;
    const struct letter_store_ops *letters = desk->store->letters;
    char id[] = "d0000000000000000000000000000000";
    for (int i = 0; i < MMI_MAX_LETTERS + 5; i++) {
        snprintf(id, sizeof id, "%032x", (unsigned)i + 1);
        struct dead_letter letter = letter_of(id, i + 1);
        begin(desk);
        assert_int_equal(finish(desk, letters->add(desk->store->handle, &letter, NOW, &desk->place->fault)), ERR_NONE);
    }
    struct mmi_dead_letters page = list(desk, NOW);
    assert_int_equal(page.count, MMI_MAX_LETTERS + 5);
    assert_int_equal(page.letters.count, MMI_MAX_LETTERS);
}

#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, desk_make, desk_drop)

int contract_letter_run(void)
{
    const struct CMUnitTest tests[] = {
        ON_STORE(a_death_is_kept_once), ON_STORE(a_letter_comes_back_as_it_was), ON_STORE(a_lease_hides_it_and_ends),
        ON_STORE(a_drop_may_come_first), ON_STORE(no_secret_is_kept), ON_STORE(retention_by_count_and_days),
        ON_STORE(a_long_list),
    };
    return cmocka_run_group_tests_name("dead letters", tests, NULL, NULL);
}
