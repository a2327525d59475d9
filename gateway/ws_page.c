#include "gateway/ws_page.h"

#include "lib/base/mem.h"

struct ws_ask *ws_ask_copy(const struct ws_ask *ask)
{
    struct ws_ask *copy = mem_alloc(sizeof *copy);
    *copy = *ask;
    copy->order_ids = NULL;
    if (ask->order_count > 0) {
        copy->order_ids = mem_alloc_array(ask->order_count, WS_ID_SIZE);
        memcpy(copy->order_ids, ask->order_ids, ask->order_count * sizeof *copy->order_ids);
    }
    return copy;
}

void ws_ask_destroy(struct ws_ask **self)
{
    if (*self) {
        mem_free((*self)->order_ids);
        mem_free(*self);
        *self = NULL;
    }
}

struct ws_page *ws_page_new(void)
{
    return mem_alloc(sizeof(struct ws_page));
}

void ws_page_destroy(struct ws_page **self)
{
    struct ws_page *page = *self;
    if (page) {
        for (uint32_t i = 0; i < page->count; i++) {
            ws_message_drop(&page->messages[i]);
        }
        mem_free(page);
        *self = NULL;
    }
}
