#include "gateway/ws_page.h"

#include "lib/base/mem.h"

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
