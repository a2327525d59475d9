/* The rooms of a shop: which programs there are, in which order they start and stop. */
#ifndef ZMART_CLI_ROOMS_H
#define ZMART_CLI_ROOMS_H

#include "lib/base/process.h"

enum room_id {
    ROOM_BROKER,
    ROOM_EVENT,
    ROOM_PRODUCT,
    ROOM_ORDER,
    ROOM_USER,
    ROOM_WEBHOOK,
    ROOM_MAIL,
    ROOM_GATEWAY,
    ROOM_COUNT
};

/* A stage begins when everything before it is ready (starting) or gone (stopping). */
enum { STAGE_COUNT = 4 };

struct room {
    const struct program *program;
    int start_stage;
    int stop_stage;
    bool stores; /* keeps data: on SQLite there is one process of it */
    bool mongo;  /* can keep it in MongoDB; what cannot stays on SQLite in the data folder */
};

extern const struct room rooms[ROOM_COUNT];
/* rooms[id].program->name */
const char *room_name(enum room_id id);

#endif
