#include "cli/archive_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "event-svc/archive.h"
#include "lib/base/clock.h"
#include "mail-svc/archive.h"
#include "order-svc/archive.h"
#include "product-svc/archive.h"
#include "user-svc/archive.h"
#include "webhook-svc/archive.h"

enum { STORE_BUSY_MS = 10000, STORE_CONNECT_MS = 2000, STORE_SELECT_MS = 5000, STORE_ANSWER_MS = 60000, BAR_SIZE = 30 };

const struct archive_part *const archive_parts[] = {&product_archive, &order_archive, &user_archive, &event_archive,
                                                    &webhook_archive, &mail_archive, NULL};
const size_t archive_part_count = ARRAY_COUNT(archive_parts) - 1;

CONFIG_DEFINE(archive_store_config, ARCHIVE_STORE_CONFIG)

bool archive_kind_find(const char *section, const struct archive_part **out_part, const struct archive_kind **out_kind)
{
    for (size_t i = 0; i < archive_part_count; i++) {
        size_t size = strlen(archive_parts[i]->service);
        if (strncmp(section, archive_parts[i]->service, size) != 0 || section[size] != '.') {
            continue;
        }
        for (size_t k = 0; k < archive_parts[i]->kind_count; k++) {
            if (strcmp(section + size + 1, archive_parts[i]->kinds[k].name) == 0) {
                *out_part = archive_parts[i];
                *out_kind = &archive_parts[i]->kinds[k];
                return true;
            }
        }
    }
    return false;
}

struct store_config archive_store_settings(const struct archive_store_config *config, char buffer[ARCHIVE_PATH_SIZE])
{
    snprintf(buffer, ARCHIVE_PATH_SIZE, "%s%s",
             config->store[0] ? "" : "sqlite:", config->store[0] ? config->store : config->data);
    return (struct store_config){.store = buffer,
                                 .store_busy_ms = STORE_BUSY_MS,
                                 .store_connect_ms = STORE_CONNECT_MS,
                                 .store_select_ms = STORE_SELECT_MS,
                                 .store_answer_ms = STORE_ANSWER_MS};
}

void archive_progress(const char *what, int64_t rows, int64_t part, int64_t whole)
{
    char bar[BAR_SIZE + 1];
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    int64_t full = whole > 0 ? part * BAR_SIZE / whole : 0;
    for (int i = 0; i < BAR_SIZE; i++) {
        bar[i] = i < full ? '#' : '.';
    }
    bar[BAR_SIZE] = '\0';
    fprintf(stderr, "\r[%s] %3" PRId64 " %%  %" PRId64 " rows  %-24.24s", bar, whole > 0 ? part * 100 / whole : 0, rows,
            what);
}

void archive_progress_end(void)
{
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%80s\r", "");
    }
}
