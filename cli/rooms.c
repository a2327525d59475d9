#include "cli/rooms.h"

#include "broker/program.h"
#include "event-svc/program.h"
#include "gateway/program.h"
#include "mail-svc/program.h"
#include "order-svc/program.h"
#include "product-svc/program.h"
#include "user-svc/program.h"
#include "webhook-svc/program.h"

/* Of those that keep data one starts before the others: a store that cannot be had is told once. */
const struct room rooms[ROOM_COUNT] = {
    [ROOM_BROKER] = {.program = &broker_program, .start_stage = 0, .stop_stage = 3},
    [ROOM_EVENT] = {.program = &event_program, .start_stage = 1, .stop_stage = 2, .stores = true, .mongo = true},
    [ROOM_PRODUCT] = {.program = &product_program, .start_stage = 2, .stop_stage = 1, .stores = true, .mongo = true},
    [ROOM_ORDER] = {.program = &order_program, .start_stage = 2, .stop_stage = 1, .stores = true, .mongo = true},
    [ROOM_USER] = {.program = &user_program, .start_stage = 2, .stop_stage = 1, .stores = true, .mongo = true},
    [ROOM_WEBHOOK] = {.program = &webhook_program, .start_stage = 2, .stop_stage = 1, .stores = true, .mongo = true},
    [ROOM_MAIL] = {.program = &mail_program, .start_stage = 2, .stop_stage = 1, .stores = true, .mongo = true},
    [ROOM_GATEWAY] = {.program = &gateway_program, .start_stage = 3, .stop_stage = 0},
};

const char *room_name(enum room_id id)
{
    return rooms[id].program->name;
}
