/* Dead letters as event-svc keeps them for the brokers: what proto/letter.h says, in the same store as the log. */
#ifndef ZMART_EVENT_LETTERS_H
#define ZMART_EVENT_LETTERS_H

#include "proto/letter.h"

/* Every verb is one atomic act within the loop's unit of work. handle is what the unit of work takes; now_ms is the
 * wall clock. Faults besides those named are SERVICE_UNAVAILABLE. */
struct letter_store_ops {
    /* Once a death, and not when that was dropped already. Another death of the same request replaces the one before.
     */
    enum err (*add)(void *handle, const struct dead_letter *letter, int64_t now_ms, struct fault *fault);
    /* The newest MMI_MAX_LETTERS, without those that somebody has taken. */
    enum err (*list)(void *handle, int64_t now_ms, struct arena *arena, struct fault *fault,
                     struct mmi_dead_letters *out);
    /* NOT_FOUND; CONFLICT: it has no body, or somebody else has taken it. */
    enum err (*take)(void *handle, const struct letter_take *what, int64_t now_ms, struct arena *arena,
                     struct fault *fault, struct dead_letter *out);
    /* NOT_FOUND only when no death is named. A death that is dropped stays known, so that it cannot be added late. */
    enum err (*drop)(void *handle, const struct letter_drop *what, int64_t now_ms, struct fault *fault);
    /* Forgets those that died before before_ms, and the oldest ones beyond count_max. */
    enum err (*trim)(void *handle, int64_t before_ms, int64_t count_max, struct fault *fault);
};

extern const struct letter_store_ops letters_sqlite;
extern const char letters_sqlite_migration[];

struct letter_keeping {
    int64_t count_max;
    int64_t days;
};

/* As the verb, and keeps to count_max. A body that must not be kept (SECRET fields) is dropped here too, whatever the
 * broker has let through. */
enum err letters_add(const struct letter_store_ops *ops, void *handle, const struct dead_letter *letter,
                     const struct letter_keeping *keeping, int64_t now_ms, struct fault *fault);
/* What died before this is too old. */
int64_t letters_cutoff_ms(const struct letter_keeping *keeping, int64_t now_ms);

#endif
