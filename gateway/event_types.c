#include "gateway/event_types.h"

_Static_assert(EVENT_COUNT < 64, "types are bits");

enum { TYPE_MAX_SIZE = 60 };

static bool is_for_clients(const struct event_info *info)
{
    return info->private_payload == &order_record;
}

/* Of the types that clients get: those equal to name, or that begin with it. */
static uint64_t types_matching(struct text name, bool beginning)
{
    uint64_t types = 0;
    for (int i = 0; i < EVENT_COUNT; i++) {
        const struct event_info *info = event_info((enum event_type)i);
        struct text type = text_of(info->type);
        bool matches = type.size >= name.size && (name.size == 0 || memcmp(type.data, name.data, name.size) == 0) &&
                       (beginning || type.size == name.size);
        if (matches && is_for_clients(info)) {
            types |= UINT64_C(1) << i;
        }
    }
    return types;
}

uint64_t event_types_all(void)
{
    return types_matching((struct text){0}, true);
}

uint64_t event_types_bit(struct text type)
{
    return type.size ? types_matching(type, false) : 0;
}

static bool is_beginning(struct text name)
{
    for (uint32_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool dot_is_alone = i > 0 && name.data[i - 1] != '.';
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || (c == '.' && dot_is_alone))) {
            return false;
        }
    }
    return name.size <= TYPE_MAX_SIZE;
}

static enum err refuse(struct fault *fault, struct text part, const char *code, const char *message)
{
    fault_add(fault, "/types", code, -1, "%.*s%s%s", TEXT_ARG(part), part.size ? " " : "", message);
    return fault_set(fault, ERR_INVALID_PARAMETER, NULL);
}

static enum err part_read(struct text part, struct fault *fault, uint64_t *types)
{
    bool beginning = part.size > 0 && part.data[part.size - 1] == '*';
    struct text name = {part.data, part.size - (beginning ? 1 : 0)};
    if (part.size == 0 || !is_beginning(name)) {
        struct text shown = {part.data, part.size > TYPE_MAX_SIZE ? TYPE_MAX_SIZE : part.size};
        return refuse(fault, shown, "format", "is no type such as order.placed, nor a beginning of one and *");
    }
    uint64_t matching = beginning ? types_matching(name, true) : event_types_bit(name);
    if (!beginning && matching == 0) {
        return refuse(fault, name, "out_of_range", "is no type of events that clients get");
    }
    *types |= matching;
    return ERR_NONE;
}

enum err event_types_read(struct text list, struct fault *fault, uint64_t *out)
{
    struct text rest = list, part;
    uint64_t types = 0;
    enum err e = list.size ? ERR_NONE : part_read(list, fault, &types);
    while (text_cut(&rest, ',', &part)) {
        enum err part_e = part_read(part, fault, &types);
        e = part_e != ERR_NONE ? part_e : e;
    }
    if (e == ERR_NONE) {
        *out = types ? types : EVENT_TYPES_NONE;
    }
    return e;
}

struct text_list event_types_names(uint64_t types, struct arena *arena)
{
    struct text_list list = {.items = arena_alloc(arena, EVENT_COUNT * sizeof *list.items)};
    for (int i = 0; i < EVENT_COUNT; i++) {
        if (types >> i & 1) {
            list.items[list.count++] = text_of(event_info((enum event_type)i)->type);
        }
    }
    return list;
}
