#include "event-svc/program.h"
#include "lib/bus/main.h"

int main(int argc, char **argv)
{
    return process_main(&event_program, argc, argv);
}
