/* Promises about lists and search. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/frame.h"
#include "tests/contract/contract_product.h"

enum { THING_COUNT = 23, SEEN_MAX = 64 };

/* Ids in the order the pages gave them. */
struct seen {
    char ids[SEEN_MAX][16];
    int count;
};

static void see_page(const struct product_list *list, struct seen *seen)
{
    for (uint32_t i = 0; i < list->data.count; i++) {
        assert_true(seen->count < SEEN_MAX);
        assert_true(text_to_string(list->data.items[i].id, seen->ids[seen->count++], sizeof seen->ids[0]));
    }
}

/* Reads all pages of limit rows; between them somebody else keeps adding and retiring. */
static struct seen read_all(struct shop *shop, struct product_query query, int64_t limit, bool disturb)
{
    struct seen seen = {0};
    struct product_list list = {0};
    query.limit = limit;
    set_has(product_query, &query, limit);
    do {
        assert_int_equal(shop_page(shop, &query, false, &list), ERR_NONE);
        assert_true(list.data.count <= (uint32_t)limit);
        assert_int_equal(list.has_more, has(product_list, &list, next_cursor));
        assert_true(list.data.count == (uint32_t)limit || !list.has_more);
        see_page(&list, &seen);
        query.cursor = list.next_cursor;
        set_has(product_query, &query, cursor);
        if (disturb) {
            struct product extra = shop_product(shop, 1000 + (int)shop->request_count);
            struct request removal = shop_request(shop, false);
            extra.name = TEXT("Extra thing"), extra.created_at = shop->now_ms - 1, extra.price = 1100;
            shop_add(shop, &extra);
            assert_int_equal(shop_retire(shop, &removal, extra.id, NULL), ERR_NONE);
        }
    } while (list.has_more);
    return seen;
}

/* Things with few different prices, times and names, so that most sort values are shared. */
static void add_things(struct shop *shop)
{
    static const char *const names[] = {"thing", "Thing", "Ähre", "zebra thing", "", "ábc thing"};
    for (int i = 0; i < THING_COUNT; i++) {
        struct product product = shop_product(shop, i * 7 % THING_COUNT); /* ids do not follow the order of adding */
        product.price = i % 3 * 500 + 500;
        product.created_at = shop->now_ms + i % 4;
        product.name = i % 6 == 4 ? TEXT("!?") : text_of(names[i % 6]);
        product.stock = i % 5;
        product.active = i != 7;
        shop_add(shop, &product);
    }
}

static void every_sort_has_each_row_once_on_pages_of_any_size(void **state)
{
    struct shop *shop = *state;
    add_things(shop);
    for (int sort = 0; sort < product_sort_count; sort++) {
        struct product_query query = {.sort = (enum product_sort)sort};
        set_has(product_query, &query, sort);
        struct seen whole = read_all(shop, query, PAGE_MAX, false);
        assert_int_equal(whole.count, THING_COUNT - 1);
        for (int64_t limit = 1; limit <= 7; limit += 2) {
            struct seen paged = read_all(shop, query, limit, limit == 5);
            assert_int_equal(paged.count, whole.count);
            assert_memory_equal(paged.ids, whole.ids, sizeof whole.ids[0] * (size_t)whole.count);
        }
        for (int i = 0; i < whole.count; i++) {
            for (int j = 0; j < i; j++) {
                assert_string_not_equal(whole.ids[i], whole.ids[j]);
            }
        }
    }
}

static void assert_ids(struct shop *shop, const struct product_query *query, const char *expected)
{
    char got[512] = "";
    struct product_list list = {0};
    assert_int_equal(shop_page(shop, query, false, &list), ERR_NONE);
    for (uint32_t i = 0; i < list.data.count; i++) {
        size_t size = strlen(got);
        int64_t number;
        struct text digits = {list.data.items[i].sku.data + 2, list.data.items[i].sku.size - 2};
        assert_true(text_to_int(digits, &number));
        snprintf(got + size, sizeof got - size, "%s%d", i ? " " : "", (int)number);
    }
    assert_string_equal(got, expected);
}

static void sorts_order_by_their_value(void **state)
{
    struct shop *shop = *state;
    static const char *const names[] = {"pear", "Apple", "éclair", "Eclairs", "banana"};
    static const char *const expected[product_sort_count] = {
        [PRODUCT_BY_NEWEST] = "4 3 2 1 0",    [PRODUCT_BY_OLDEST] = "0 1 2 3 4",
        [PRODUCT_BY_PRICE] = "1 0 3 2 4",     [PRODUCT_BY_PRICE_FALLING] = "4 2 3 0 1",
        [PRODUCT_BY_NAME] = "1 4 2 3 0",      [PRODUCT_BY_NAME_FALLING] = "0 3 2 4 1",
        [PRODUCT_BY_RELEVANCE] = "4 3 2 1 0",
    };
    static const int64_t prices[] = {1000, 5, 1500, 1200, 20}; /* the last one in yen: 20 major units */
    for (int i = 0; i < 5; i++) {
        struct product product = shop_product(shop, i);
        product.name = text_of(names[i]);
        product.price = prices[i];
        product.currency = i == 4 ? TEXT("JPY") : TEXT("USD");
        product.created_at += i;
        shop_add(shop, &product);
    }
    for (int sort = 0; sort < product_sort_count; sort++) {
        struct product_query query = {.sort = (enum product_sort)sort};
        set_has(product_query, &query, sort);
        assert_ids(shop, &query, expected[sort]);
    }
    assert_ids(shop, &(struct product_query){0}, expected[PRODUCT_BY_NEWEST]);
}

static void filters_go_together(void **state)
{
    struct shop *shop = *state;
    struct text red[] = {TEXT("red"), TEXT("big")}, blue[] = {TEXT("blue"), TEXT("big")};
    for (int i = 0; i < 6; i++) {
        struct product product = shop_product(shop, i);
        product.categories = (struct text_list){i % 2 ? red : blue, 2};
        product.price = 1000 + 100 * i;
        product.stock = i < 4 ? 0 : 3;
        product.created_at -= i;
        shop_add(shop, &product);
    }
    struct product_query query = {.category = TEXT("red")};
    set_has(product_query, &query, category);
    assert_ids(shop, &query, "1 3 5");
    query.price_gte = 113000, query.price_lte = 150000;
    set_has(product_query, &query, price_gte);
    assert_ids(shop, &query, "3 5");
    query.in_stock = false;
    set_has(product_query, &query, in_stock);
    assert_ids(shop, &query, "3");
    query.in_stock = true;
    assert_ids(shop, &query, "5");
    query.price_lte = 149999;
    set_has(product_query, &query, price_lte);
    assert_ids(shop, &query, "");
    query = (struct product_query){.price_lte = 110000, .category = TEXT("big")};
    set_has(product_query, &query, price_lte), set_has(product_query, &query, category);
    assert_ids(shop, &query, "0 1");
    query.category = TEXT("Big"); /* categories are exact */
    assert_ids(shop, &query, "");
}

static void categories_of_any_size_give_the_same_pages(void **state)
{
    struct shop *shop = *state;
    enum { GOODS = 2100, SMALL = 40 };
    struct text both[] = {TEXT("large"), TEXT("small")};
    for (int i = 0; i < GOODS;) {
        shop_batch_begin(shop);
        for (int j = 0; j < 100; j++, i++) {
            struct product product = shop_product(shop, i);
            product.categories = (struct text_list){both, i % (GOODS / SMALL) == 3 ? 2 : 1};
            product.created_at += i / 7;
            product.price = i % 11;
            shop_add(shop, &product);
        }
        assert_true(shop_batch_end(shop, true));
    }
    for (int sort = 0; sort < product_sort_count; sort++) {
        struct product_query query = {.category = TEXT("small"), .sort = (enum product_sort)sort};
        set_has(product_query, &query, category), set_has(product_query, &query, sort);
        struct seen whole = read_all(shop, query, PAGE_MAX, false);
        struct seen paged = read_all(shop, query, 7, false);
        assert_int_equal(whole.count, SMALL + 1);
        assert_int_equal(paged.count, whole.count);
        assert_memory_equal(paged.ids, whole.ids, sizeof whole.ids[0] * (size_t)whole.count);
        struct product_list list = {0};
        query.category = TEXT("large");
        assert_int_equal(shop_page(shop, &query, false, &list), ERR_NONE);
        assert_int_equal(list.data.count, PRODUCT_PAGE_DEFAULT);
    }
}

static void filters_follow_edits(void **state)
{
    struct shop *shop = *state;
    struct text old[] = {TEXT("old")}, new[] = {TEXT("new")};
    struct product out, product = shop_product(shop, 1);
    struct request request = shop_request(shop, false);
    product.categories = (struct text_list){old, 1};
    product.description = TEXT("ancient");
    shop_add(shop, &product);
    struct product_edit edit = {.id = product.id,
                                .categories = {new, 1},
                                .name = TEXT("Modern"),
                                .price = 990000,
                                .description = TEXT("recent")};
    set_has(product_edit, &edit, categories), set_has(product_edit, &edit, name), set_has(product_edit, &edit, price);
    set_has(product_edit, &edit, description);
    assert_int_equal(shop_edit(shop, &request, &edit, NULL, &out), ERR_NONE);
    struct product_query query = {.category = TEXT("old")};
    set_has(product_query, &query, category);
    assert_ids(shop, &query, "");
    query.category = TEXT("new"), query.price_gte = 990000, query.q = TEXT("recent modern");
    set_has(product_query, &query, price_gte), set_has(product_query, &query, q);
    assert_ids(shop, &query, "1");
    query.q = TEXT("ancient");
    assert_ids(shop, &query, "");
    query.q = TEXT("thing");
    assert_ids(shop, &query, "");
}

static void assert_found(struct shop *shop, const char *q, const char *expected)
{
    struct product_query query = {.q = text_of(q)};
    set_has(product_query, &query, q);
    assert_ids(shop, &query, expected);
}

static void search_finds_all_words_by_prefix(void **state)
{
    struct shop *shop = *state;
    static const struct {
        const char *name, *description;
    } goods[] = {
        {"Crème brûlée dish", "oven-proof"},       {"Garden chair", "of red oak"},      {"Red chair", "for the garden"},
        {"Redwood table", "a chair goes with it"}, {"Chaise", "10\" legs, \"quoted\""}, {"日本の茶碗", "STRASSE"},
    };
    for (int i = 0; i < (int)ARRAY_COUNT(goods); i++) {
        struct product product = shop_product(shop, i);
        product.name = text_of(goods[i].name);
        product.description = text_of(goods[i].description);
        product.created_at += i;
        shop_add(shop, &product);
    }
    assert_found(shop, "CREME BRULEE", "0");
    assert_found(shop, "crè brû", "0");
    assert_found(shop, "rème", "");
    assert_found(shop, "red chair", "2 1 3"); /* both in the name; one in it; the beginning of one */
    assert_found(shop, "chair red oak", "1");
    assert_found(shop, "cha", "4 2 1 3");
    assert_found(shop, "T-3", "3");
    assert_found(shop, "t-", "5 4 3 2 1 0");
    assert_found(shop, "oven proof", "0");
    assert_found(shop, "日本", "5");
    assert_found(shop, "straße", "5");
    assert_found(shop, "?! -- *", "");
    assert_found(shop, "\"", "");
    assert_found(shop, "nothing red", "");
}

static void search_takes_no_syntax(void **state)
{
    struct shop *shop = *state;
    static const char *const harmless[] = {
        "a\" OR \"b", "name:thing", "thing*",    "NEAR(thing x)", "thing NOT 1", "-thing", "^thing",      "thing + 1",
        "{thing",     "thing)",     "(((((",     "AND",           "OR",          "NOT",    "' OR 1=1 --", "%",
        "_",          "\\",         "thing\" *",
    };
    struct product product = shop_product(shop, 1);
    shop_add(shop, &product);
    for (size_t i = 0; i < ARRAY_COUNT(harmless); i++) {
        struct product_list list = {0};
        struct product_query query = {.q = text_of(harmless[i])};
        set_has(product_query, &query, q);
        assert_int_equal(shop_page(shop, &query, false, &list), ERR_NONE);
    }
    assert_found(shop, "thing*", "1");
    assert_found(shop, "name:thing", "");
    assert_found(shop, "thing OR chair", "");
}

static void search_pages_are_stable_in_every_sort(void **state)
{
    struct shop *shop = *state;
    add_things(shop);
    for (int sort = 0; sort < product_sort_count; sort++) {
        struct product_query query = {.q = TEXT("thing"), .sort = (enum product_sort)sort};
        set_has(product_query, &query, q), set_has(product_query, &query, sort);
        struct seen whole = read_all(shop, query, PAGE_MAX, false);
        struct seen paged = read_all(shop, query, 3, true);
        assert_int_equal(whole.count, 14);
        assert_int_equal(paged.count, whole.count);
        assert_memory_equal(paged.ids, whole.ids, sizeof whole.ids[0] * (size_t)whole.count);
    }
}

static void cursors_belong_to_their_query(void **state)
{
    struct shop *shop = *state;
    struct product_list list = {0};
    struct product_query query = {.limit = 2, .price_gte = 0};
    set_has(product_query, &query, limit), set_has(product_query, &query, price_gte);
    add_things(shop);
    assert_int_equal(shop_page(shop, &query, false, &list), ERR_NONE);
    assert_true(list.has_more);
    query.cursor = list.next_cursor;
    set_has(product_query, &query, cursor);
    query.limit = 50; /* another page size is the same query */
    assert_int_equal(shop_page(shop, &query, false, &list), ERR_NONE);
    query.price_gte = 1;
    assert_int_equal(shop_page(shop, &query, false, &list), ERR_BAD_CURSOR);
    query.price_gte = 0, query.sort = PRODUCT_BY_NAME;
    set_has(product_query, &query, sort);
    assert_int_equal(shop_page(shop, &query, false, &list), ERR_BAD_CURSOR);
    query.present &= ~(UINT64_C(1) << product_query_at_sort);
    query.cursor = TEXT("garbage");
    assert_int_equal(shop_page(shop, &query, false, &list), ERR_BAD_CURSOR);
}

static void the_longest_names_can_be_paged(void **state)
{
    struct shop *shop = *state;
    enum { LENGTH = 200 };
    char name[LENGTH * 3];
    struct product_query query = {.sort = PRODUCT_BY_NAME_FALLING, .q = {name, sizeof name}};
    for (int i = 0; i < LENGTH; i++) {
        memcpy(name + i * 3, "\xef\xb7\xba", 3); /* becomes 33 bytes each */
    }
    for (int i = 0; i < 3; i++) {
        struct product product = shop_product(shop, i);
        product.name = (struct text){name, sizeof name};
        shop_add(shop, &product);
    }
    set_has(product_query, &query, sort);
    assert_int_equal(read_all(shop, query, 1, false).count, 3);
    set_has(product_query, &query, q);
    assert_int_equal(read_all(shop, query, 1, false).count, 3);
}

static void pages_have_a_default_and_a_bound(void **state)
{
    struct shop *shop = *state;
    struct product_list list = {0};
    struct product_query query = {.limit = PAGE_MAX};
    for (int i = 0; i < PAGE_MAX + 1; i++) {
        struct product product = shop_product(shop, i);
        shop_add(shop, &product);
    }
    assert_int_equal(shop_page(shop, &query, false, &list), ERR_NONE);
    assert_int_equal(list.data.count, PRODUCT_PAGE_DEFAULT);
    set_has(product_query, &query, limit);
    assert_int_equal(shop_page(shop, &query, false, &list), ERR_NONE);
    assert_int_equal(list.data.count, PAGE_MAX);
    assert_true(list.has_more);
}

/* As large as products can be: characters of four bytes, which are no words. */
static struct product large_product(struct shop *shop, int n)
{
    enum { CHARACTER_SIZE = 4, DESCRIPTION = 10000, URL = 1990, IMAGES = 16 };
    static const char character[] = "\xf0\x9f\x98\x80";
    struct product product = shop_product(shop, n);
    char *description = arena_alloc(&shop->arena, DESCRIPTION * CHARACTER_SIZE);
    for (int i = 0; i < DESCRIPTION; i++) {
        memcpy(description + i * CHARACTER_SIZE, character, CHARACTER_SIZE);
    }
    product.description = (struct text){description, DESCRIPTION * CHARACTER_SIZE};
    product.images.items = arena_alloc(&shop->arena, IMAGES * sizeof *product.images.items);
    for (product.images.count = 0; product.images.count < IMAGES; product.images.count++) {
        product.images.items[product.images.count] = (struct text){description, URL * CHARACTER_SIZE};
    }
    return product;
}

/* A page that no reply could hold ends earlier, and the next one goes on there. */
static void pages_of_large_products_are_short(void **state)
{
    enum { COUNT = 30 };
    struct shop *shop = *state;
    static const enum product_sort by[] = {PRODUCT_BY_NEWEST, PRODUCT_BY_NAME, PRODUCT_BY_RELEVANCE};
    for (int i = 0; i < COUNT; i++) {
        struct product product = large_product(shop, i);
        shop_add(shop, &product);
    }
    for (size_t i = 0; i < ARRAY_COUNT(by); i++) {
        struct product_query query = {.limit = PAGE_MAX, .sort = by[i], .q = TEXT("thing")};
        struct product_list list;
        struct seen seen = {0};
        set_has(product_query, &query, limit);
        set_has(product_query, &query, sort);
        if (by[i] == PRODUCT_BY_RELEVANCE) {
            set_has(product_query, &query, q);
        }
        do {
            assert_int_equal(shop_page(shop, &query, false, &list), ERR_NONE);
            assert_true(record_size(&product_list_record, &list) < FRAME_MAX_BODY);
            see_page(&list, &seen);
            query.cursor = list.next_cursor;
            set_has(product_query, &query, cursor);
        } while (list.has_more);
        assert_int_equal(seen.count, COUNT);
        for (int a = 0; a < COUNT; a++) {
            for (int b = 0; b < a; b++) {
                assert_string_not_equal(seen.ids[a], seen.ids[b]);
            }
        }
    }
}

int contract_product_list(const struct contract_place *place)
{
    const struct CMUnitTest lists[] = {
        SHOP_TEST(every_sort_has_each_row_once_on_pages_of_any_size),
        SHOP_TEST(sorts_order_by_their_value),
        SHOP_TEST(filters_go_together),
        SHOP_TEST(categories_of_any_size_give_the_same_pages),
        SHOP_TEST(filters_follow_edits),
        SHOP_TEST(search_finds_all_words_by_prefix),
        SHOP_TEST(search_takes_no_syntax),
        SHOP_TEST(search_pages_are_stable_in_every_sort),
        SHOP_TEST(cursors_belong_to_their_query),
        SHOP_TEST(the_longest_names_can_be_paged),
        SHOP_TEST(pages_have_a_default_and_a_bound),
        SHOP_TEST(pages_of_large_products_are_short),
    };
    return cmocka_run_group_tests(lists, NULL, NULL);
}
