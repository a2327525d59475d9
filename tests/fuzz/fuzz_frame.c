/* What a broker parses of strangers' bytes: the head and the route; and any msgpack that is only skipped. */
#include <string.h>

#include "lib/base/invariant.h"
#include "proto/frame.h"
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"

static void head_try(struct text bytes)
{
    struct frame_head head;
    uint8_t again[FRAME_HEAD_SIZE];
    if (!frame_head_read(bytes, &head)) {
        return;
    }
    ASSERT(frame_type_name(head.type) != NULL);
    frame_head_write(&head, again);
    ASSERT(memcmp(again, bytes.data, 56) == 0); /* all but the reserved bytes */
}

static void route_try(struct text bytes)
{
    struct text service, operation, key;
    if (!route_read(bytes, &service, &operation, &key)) {
        return;
    }
    ASSERT(bytes.size <= ROUTE_MAX_SIZE && service.size > 0 && operation.size > 0);
    ASSERT(service.size + 1 + operation.size + (key.size ? 1 + key.size : 0) == bytes.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 20) {
        return 0;
    }
    struct text bytes = {(const char *)data, (uint32_t)size};
    struct wire wire = wire_of(bytes);
    head_try(bytes);
    route_try(bytes);
    if (size > FRAME_HEAD_SIZE) {
        head_try((struct text){bytes.data, FRAME_HEAD_SIZE});
        route_try((struct text){bytes.data + FRAME_HEAD_SIZE, bytes.size - FRAME_HEAD_SIZE});
    }
    while (wire_peek(&wire) != WIRE_END && wire_skip(&wire, WIRE_MAX_SKIP_DEPTH)) {
        ASSERT(wire.at <= wire.end);
    }
    return 0;
}
