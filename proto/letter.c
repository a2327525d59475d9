#include "proto/letter.h"

RECORD_DEFINE(dead_letter, DEAD_LETTER_FIELDS)
RECORD_DEFINE(letter_take, LETTER_TAKE_FIELDS)
RECORD_DEFINE(letter_drop, LETTER_DROP_FIELDS)
