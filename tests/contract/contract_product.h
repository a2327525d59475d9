/* What product-svc/store.h promises, as tests for any store: each test gets an empty one, opened by URL. */
#ifndef ZMART_TESTS_CONTRACT_PRODUCT_H
#define ZMART_TESTS_CONTRACT_PRODUCT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "product-svc/store.h"
#include "proto/ident.h"

/* Where empty stores come from. */
struct contract_place {
    void (*make)(char *url, size_t size); /* a URL nobody has used */
    void (*drop)(const char *url);
    bool is_remote; /* each act is a few round trips: long tests take fewer steps */
};

/* A shop over one store, as one loop would use it: every act is a unit of work of its own, its effects stay when it
 * succeeds, and of a refusal only what is kept. */
struct shop {
    const struct contract_place *place;
    char url[512];
    struct store_config config;
    struct product_store *store;
    struct arena arena; /* of everything read in the test */
    struct fault fault; /* of the last act */
    bool repeated;      /* of the last act */
    int64_t now_ms;     /* the clock */
    int64_t low_stock;  /* of acts; 0: nothing is low */
    struct text traceparent;
    uint64_t request_count;
    bool in_batch;
};

/* A request: its id and its fingerprint. Reusing the value is sending it again. */
struct request {
    uint8_t id[ID_SIZE];
    char fingerprint[FINGERPRINT_SIZE];
    bool keyed;
};

extern const struct contract_place product_sqlite_place, product_mongo_place;

int shop_open(void **state);  /* setup; *state must be the struct contract_place */
int shop_close(void **state); /* teardown */
void shop_reopen(struct shop *shop);
struct request shop_request(struct shop *shop, bool keyed);

enum err shop_insert(struct shop *shop, const struct request *request, const struct product *product,
                     struct product *out);
enum err shop_edit(struct shop *shop, const struct request *request, const struct product_edit *edit,
                   const char *if_match, struct product *out);
enum err shop_retire(struct shop *shop, const struct request *request, struct text id, const char *if_match);
enum err shop_get(struct shop *shop, struct text id, bool inactive_too, struct product *out);
enum err shop_page(struct shop *shop, const struct product_query *query, bool inactive_too, struct product_list *out);
enum err shop_reserve(struct shop *shop, const struct product_reserve *in, struct product_reserved *out);
enum err shop_settle(struct shop *shop, struct text order_id, enum hold_step step, const char *fingerprint);
enum err shop_settle_all(struct shop *shop, const struct product_settle *settle);
struct text_list shop_stale(struct shop *shop, int64_t before_ms);
enum err shop_find_stale(struct shop *shop, int64_t before_ms, struct text_list *out);
int64_t shop_purge(struct shop *shop, int64_t before_ms);
enum err shop_tell(struct shop *shop, bool *out_more);

/* Between the two, acts share one unit of work, each in a savepoint, as a loop's batch does. False if nothing of the
 * batch stays. */
void shop_batch_begin(struct shop *shop);
bool shop_batch_end(struct shop *shop, bool commit);

/* A product like any other: name "Thing <n>", sku "T-<n>", 10.00 USD, made at the shop's clock. */
struct product shop_product(struct shop *shop, int n);
/* Adds it, or fails the test. */
struct product shop_add(struct shop *shop, const struct product *product);
int64_t shop_stock(struct shop *shop, struct text id);
/* Equal in every field. */
void assert_product(const struct product *a, const struct product *b);

/* The suites; each returns how many of its tests failed. */
int contract_product_answers(const struct contract_place *place);
int contract_product_catalogue(const struct contract_place *place);
int contract_product_list(const struct contract_place *place);
int contract_product_holds(const struct contract_place *place);
int contract_product_news(const struct contract_place *place);
int contract_product_random(const struct contract_place *place);
int contract_product_saga(const struct contract_place *place);
int contract_product_failing(const struct contract_place *place);

/* Stands before a remote store and spoils the n-th command: it does not arrive, or is done and nobody hears of it,
 * because the connection breaks or nothing comes; or it is done when nobody waits for it any more. */
enum contract_spoil { CONTRACT_LOSE_COMMAND, CONTRACT_LOSE_ANSWER, CONTRACT_KEEP_SILENT, CONTRACT_BE_LATE };
struct contract_spoiler {
    void (*open)(const char *url, char out_url[512]);
    void (*spoil)(int n, int how); /* n < 0: none */
    bool (*spoilt)(void);
    void (*settle)(void); /* what is still on its way arrives, and is done */
    void (*close)(void);
    int64_t (*answer_ms)(int how); /* how long the store is waited for */
};
int contract_product_spoilt(const struct contract_place *place, const struct contract_spoiler *spoiler);

/* Numbers that look random and are the same in every run: state must not be 0. */
uint32_t random_below(uint64_t *state, uint32_t bound);

#define SHOP_TEST(test) cmocka_unit_test_prestate_setup_teardown(test, shop_open, shop_close, (void *)(uintptr_t)place)

#endif
