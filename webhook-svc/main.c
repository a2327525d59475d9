#include "lib/bus/main.h"
#include "webhook-svc/program.h"

int main(int argc, char **argv)
{
    return process_main(&webhook_program, argc, argv);
}
