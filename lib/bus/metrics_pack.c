#include "lib/bus/service_parts.h"
#include "proto/report.h"

enum { METRICS_PACKED_MAX_SIZE = 512 * 1024 };

struct text metrics_pack(struct metrics *metrics, const char *instance, struct arena *arena)
{
    AUTO(buffer_release) struct buffer packed;
    buffer_init(&packed, METRICS_PACKED_MAX_SIZE);
    if (!metric_list_pack(metrics, instance, &packed)) {
        return (struct text){0};
    }
    return (struct text){arena_copy(arena, packed.data, packed.size), (uint32_t)packed.size};
}
