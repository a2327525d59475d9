#include "gateway/event_types.h"

_Static_assert(EVENT_COUNT < 64, "types are bits");

enum { TYPE_MAX_SIZE = 60 };

static bool is_for_clients(const struct event_info *info)
{
    return event_shown(info) != NULL;
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

uint64_t event_types_orders(void)
{
    uint64_t types = 0;
    for (int i = 0; i < EVENT_COUNT; i++) {
        types |= event_shown(event_info((enum event_type)i)) == &order_record ? UINT64_C(1) << i : 0;
    }
    return types;
}

uint64_t event_types_of(enum role role)
{
    return role == ROLE_ADMIN ? event_types_all() : event_types_orders();
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

static enum err refuse(struct fault *fault, enum err code, const char *pointer, struct text part, const char *item,
                       const char *message)
{
    fault_add(fault, pointer, item, -1, "%.*s%s%s", TEXT_ARG(part), part.size ? " " : "", message);
    return fault_set(fault, code, NULL);
}

static enum err refuse_unknown(struct fault *fault, const char *pointer, struct text name, enum role role)
{
    AUTO(buffer_release) struct buffer known;
    buffer_init(&known, 200);
    event_types_tell(name, role == ROLE_ADMIN ? NULL : &order_record, &known);
    struct text told = buffer_text(&known);
    fault_add(fault, pointer, "out_of_range", -1, "%.*s is no type of events that clients get; there are %.*s",
              TEXT_ARG(name), TEXT_ARG(told));
    return fault_set(fault, ERR_INVALID_PARAMETER, NULL);
}

enum err event_types_add(struct text name, enum role role, const char *pointer, struct fault *fault, uint64_t *types)
{
    bool beginning = name.size > 0 && name.data[name.size - 1] == '*';
    struct text part = {name.data, name.size - (beginning ? 1 : 0)};
    if (name.size == 0 || !is_beginning(part)) {
        struct text shown = {name.data, name.size > TYPE_MAX_SIZE ? TYPE_MAX_SIZE : name.size};
        return refuse(fault, ERR_INVALID_PARAMETER, pointer, shown, "format",
                      "is no type such as order.placed, nor a beginning of one and *");
    }
    uint64_t matching = beginning ? types_matching(part, true) : event_types_bit(part);
    if (matching == 0) {
        return refuse_unknown(fault, pointer, name, role);
    }
    if (!(matching & event_types_of(role))) {
        return refuse(fault, ERR_FORBIDDEN, pointer, name, "forbidden", "is for administrators");
    }
    *types |= matching & event_types_of(role);
    return ERR_NONE;
}

enum err event_types_read(struct text list, enum role role, struct fault *fault, uint64_t *out)
{
    struct text rest = list, part;
    uint64_t types = 0;
    enum err e = list.size ? ERR_NONE : event_types_add(list, role, "/types", fault, &types);
    while (text_cut(&rest, ',', &part)) {
        enum err part_e = event_types_add(part, role, "/types", fault, &types);
        e = part_e != ERR_NONE ? part_e : e;
    }
    if (e == ERR_NONE) {
        *out = types;
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
