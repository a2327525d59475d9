#include "event-svc/letters.h"

#include "proto/ops.h"

static bool letter_is_secret(const struct dead_letter *letter)
{
    struct text route = letter->route, operation;
    enum op op;
    bool cut = text_cut(&route, '#', &operation);
    return (letter->flags & FRAME_SECRET) || (cut && op_find(operation, &op) && op_is_secret(op));
}

int64_t letters_cutoff_ms(const struct letter_keeping *keeping, int64_t now_ms)
{
    return now_ms - keeping->days * 24 * 3600 * 1000;
}

enum err letters_add(const struct letter_store_ops *ops, void *handle, const struct dead_letter *letter,
                     const struct letter_keeping *keeping, int64_t now_ms, struct fault *fault)
{
    struct dead_letter kept = *letter;
    if (letter_is_secret(letter)) {
        kept.present = 0;
        kept.bytes = 0;
    }
    enum err e = ops->add(handle, &kept, now_ms, fault);
    return e == ERR_NONE ? ops->trim(handle, letters_cutoff_ms(keeping, now_ms), keeping->count_max, fault) : e;
}
