/* Unpacking: the first byte chooses a record, the rest is taken for its bytes. Whatever is accepted must keep its
 * bounds and come back the same from packing and unpacking. */
#include "lib/base/invariant.h"
#include "proto/fault.h"
#include "tests/fuzz/fuzz.h"
#include "tests/proto/sample.h"

static uint8_t record_count(void)
{
    uint8_t count = 0;
    while (sample_records[count]) {
        count++;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1 << 20) {
        return 0;
    }
    const struct record *record = sample_records[data[0] % record_count()];
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    void *out = arena_alloc(&arena, record->size), *again = arena_alloc(&arena, record->size);
    struct text bytes = {(const char *)data + 1, (uint32_t)(size - 1)};
    enum err code = record_unpack(record, bytes, &arena, &fault, out);
    if (code != ERR_NONE) {
        struct problem problem;
        ASSERT(code == ERR_INVALID_BODY && fault.item_count > 0);
        fault_to_problem(&fault, &problem);
        (void)record_pack_in(&problem_record, &problem, &arena); /* a refusal can always be told */
        return 0;
    }
    ASSERT(record_check(record, out, ERR_INVALID_BODY, NULL) == ERR_NONE);
    struct text packed = record_pack_in(record, out, &arena);
    ASSERT(record_unpack(record, packed, &arena, NULL, again) == ERR_NONE);
    ASSERT(sample_equal(record, out, again));
    return 0;
}
